"""Cells of CSV files that a spreadsheet would take for formulas."""

from __future__ import annotations

import re
from typing import Any

from .output import json_line

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Cells:
    """Values as cells. Text that a spreadsheet would calculate gets an apostrophe before it, and is counted."""

    def __init__(self) -> None:
        self.neutralised = 0

    def cell(self, value: Any) -> str | int | float:
        """Text and numbers unchanged, null as an empty cell, other values as JSON; formulas as text."""
        if isinstance(value, str):
            if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
                self.neutralised += 1
                return f"'{value}"
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        return "" if value is None else json_line(value)

    def note(self) -> str | None:
        """What to say about the formulas, if there were any."""
        if not self.neutralised:
            return None
        cells = "1 cell begins" if self.neutralised == 1 else f"{self.neutralised:,} cells begin"
        return f"{cells} like a formula of a spreadsheet and got ' before it; .jsonl keeps all text as it is"
