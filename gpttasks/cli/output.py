"""What goes to whom: words for people to stderr, documents for programs to stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import GpttasksError

if TYPE_CHECKING:
    from ..recipe.schema import Use

ERROR_SCHEMA = "gpttasks.error/1"


def say(text: str = "") -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Mapping[str, Any], stream: TextIO) -> None:
    """One JSON document. Raises ValueError for NaN or infinity, which JSON does not have."""
    # Half a surrogate pair, from a file name or from data, has no UTF-8 of its own: escape all that is not ASCII then.
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if not _encodable(text, stream):
        text = json.dumps(document, indent=2, allow_nan=False)
    print(text, file=stream)


def json_line(values: Any) -> str:
    """A line of JSON Lines: JSON of ASCII characters only, so that any stream and any reader takes it."""
    return json.dumps(values, allow_nan=False)


def error_document(error: GpttasksError) -> dict[str, Any]:
    """All that is wrong, for programs."""
    return {"schema": ERROR_SCHEMA, "errors": [problem.as_dict() for problem in error.problems]}


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Lines with the cells of a column below each other; the last column is as long as it is."""
    if all(cell.isascii() for row in rows for cell in row):
        cell_len: Callable[[str], int] = len
    else:
        from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def counted(number: float, noun: str) -> str:
    """``1 shot``, ``2,500 steps``, ``0.5 epochs``."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {noun}" if number == 1 else f"{text} {noun}s"


def use_text(use: Use) -> str:
    """``lora (rank: 4)``: a component's name and the options that are not as by default."""
    given = use.options.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    options = ", ".join(f"{key}: {value}" for key, value in given.items())
    return f"{use.name} ({options})" if options else use.name


def on_one_line(text: str, width: int) -> str:
    """A text of any origin as at most ``width`` printable characters: nothing in it can move a terminal's cursor."""
    flat = " ".join(text.split())
    safe = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in flat)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def close_quietly(stream: TextIO) -> None:
    """Let the interpreter flush a broken stdout at exit without a message."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # a stream of a test, without a file behind it
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _encodable(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
