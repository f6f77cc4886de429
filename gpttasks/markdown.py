"""Generated parts of Markdown files: text between two marker lines, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def put_between(text: str, begin: str, end: str, content: str) -> str:
    """Replace the text between the lines ``begin`` and ``end`` of ``text``.

    Raises ValueError if ``text`` does not have both lines, in this order.
    """
    before, begin_line, rest = text.partition(f"{begin}\n")
    _, end_line, after = rest.partition(f"\n{end}")
    if not begin_line or not end_line:
        raise ValueError(f"expected a line {begin!r} and a line {end!r} after it")
    return f"{before}{begin_line}\n{content}\n{end_line}{after}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a ``|`` in a cell is escaped and a line break becomes a space."""
    lines = [_row(header), "|" + "---|" * len(header)]
    return "\n".join([*lines, *(_row(row) for row in rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
