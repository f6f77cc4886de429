"""A row of data, and the place that it comes from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import DataError, Problem, did_you_mean
from ..hashing import content_digest

NO_PLACE = "a row"
"""The place of a row that was made without one."""


class Row(dict[str, Any]):
    """A row of data: its values by column name, and the place that it comes from.

    place:
        The place as messages show it: ``train.csv:17`` or ``row 17 of test``.
    file, line:
        The file and the line (from 1) where the row begins; None if unknown.
    id, group:
        The values of the columns that ``data.id`` and ``data.group`` name; None if the recipe names none.
    class_names:
        The names that the data set gives to the classes 0, 1, …, by column; the column may also hold lists of classes.
        Names that only repeat the numbers are left out.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        place: str = "",
        file: str | None = None,
        line: int | None = None,
        class_names: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__(values)
        self.class_names: Mapping[str, tuple[str, ...]] = class_names or {}
        self.file = file
        self.line = line
        self._place = place
        self.id: str | None = None
        self.group: str | None = None

    @cached_property
    def place(self) -> str:
        """The place as messages show it; made only where it is needed, since a split may have millions of rows."""
        return f"{Path(self.file).name}:{self.line}" if self.file and self.line else self._place or NO_PLACE

    def __missing__(self, column: str) -> Any:
        raise DataError(self.problem(f"there is no column {column!r}{self.known()}", did_you_mean(column, self)))

    def with_values(self, values: Mapping[str, Any]) -> Row:
        """A copy with other values, of the same place, id and group."""
        other = copy.copy(self)
        vars(other).pop("digest", None)  # cached, of the values before
        other.update(values)
        return other

    def class_name(self, column: str) -> str | None:
        """The name of the class whose number the column holds; None if the data do not name it."""
        names, value = self.class_names.get(column, ()), self.get(column)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
            return None
        return names[value]

    def known(self) -> str:
        """``"; the columns are 'text', 'label'"``, for a message."""
        return "; the columns are " + (", ".join(repr(name) for name in self) or "none")

    @cached_property
    def digest(self) -> str:
        """The digest of all columns; their order does not matter."""
        return content_digest(self)

    def problem(self, message: str, hint: str | None = None) -> Problem:
        """A problem in this row, with its place."""
        if self.line is None:
            message = f"{self.place}: {message}"
        return Problem(message, file=self.file, line=self.line, hint=hint)
