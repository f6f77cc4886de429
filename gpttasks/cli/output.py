"""Output: messages for people on stderr, documents for programs on stdout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import GpttasksError
from ..terminal import ShownText, masked_values, plain_json, say

if TYPE_CHECKING:
    from ..recipe.schema import Use

__all__ = [
    "aligned",
    "close_quietly",
    "counted",
    "error_document",
    "json_line",
    "on_one_line",
    "print_json",
    "say",
    "use_text",
]

ERROR_SCHEMA = "gpttasks.error/1"


def print_json(document: Mapping[str, Any], stream: TextIO | ShownText) -> None:
    """Print one JSON document. Raises ValueError for NaN and infinity, which JSON does not have."""
    # A lone surrogate, from a file name or from data, has no UTF-8 form: escape everything but ASCII then.
    text = plain_json(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    if not _encodable(text, stream):
        text = plain_json(json.dumps(document, indent=2, allow_nan=False))
    print(text, file=stream)


def json_line(values: Any) -> str:
    """A line of JSON Lines, in ASCII, for any stream and reader."""
    return plain_json(json.dumps(values, allow_nan=False))


def error_document(error: GpttasksError) -> dict[str, Any]:
    """The problems of an error, for programs."""
    return {"schema": ERROR_SCHEMA, "errors": [masked_values(problem.as_dict()) for problem in error.problems]}


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "", widths: list[int] | None = None) -> str:
    """Rows as lines with aligned columns; the last column is not padded.

    ``widths``: the least width of each column, empty for none; it gets the widths that were used.
    """
    if all(cell.isascii() for row in rows for cell in row):
        cell_len: Callable[[str], int] = len
    else:
        from rich.cells import cell_len

    used = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if widths is not None:
        widths[:] = used = [max(pair) for pair in zip(used, widths or used, strict=True)]
    lines = []
    for row in rows:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, used, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def counted(number: float, noun: str) -> str:
    """``1 shot``, ``2,500 steps``, ``0.5 epochs``."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {noun}" if number == 1 else f"{text} {noun}s"


def use_text(use: Use) -> str:
    """``lora (rank: 4)``: a component's name and the options that differ from their defaults."""
    changed = use.options.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    options = ", ".join(f"{key}: {value}" for key, value in changed.items())
    return f"{use.name} ({options})" if options else use.name


def on_one_line(text: str, width: int) -> str:
    """A text as at most ``width`` printable characters, without control sequences for a terminal."""
    flat = " ".join(text.split())
    safe = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in flat)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def close_quietly(stream: TextIO) -> None:
    """Avoid the interpreter's error message when it flushes a closed stdout at exit."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # a stream without a file, in a test
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _encodable(text: str, stream: TextIO | ShownText) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
