"""A row with a value beside its columns, for templates."""

from __future__ import annotations

from typing import Any

from gpttasks import Row


def with_value(row: Row, name: str, value: Any) -> Row:
    """A copy of the row in which ``name`` is ``value``; messages give the place of the original row."""
    return row.with_values({name: value})
