"""The types of options that hold templates, and the texts of a row that such an option names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from ..data.rows import Row
from ..errors import DataError
from ..example import Prompt, as_prompt
from .template import Template
from .text_values import NotText, text_value


def _checked(source: str) -> str:
    Template(source)
    return source


TemplateText = Annotated[str, AfterValidator(_checked)]
"""The type of an option that holds a template: checked when the recipe is read."""


def _checked_plain(source: str) -> str:
    if not Template(source).is_plain:
        raise ValueError("the filters passage and media have an effect only in a prompt; take them out here")
    return source


PlainTemplateText = Annotated[str, AfterValidator(_checked_plain)]
"""The type of an option that holds a template of text that is never cut, such as an answer."""

ListColumn: TypeAlias = str | list[PlainTemplateText]
"""The type of an option for several texts: the name of a column that holds them (``choices``, or ``choices.text`` for a
list within a mapping), or a list of templates."""


class TextList:
    """A :data:`ListColumn` that can be rendered."""

    def __init__(self, source: str | list[str]) -> None:
        self._column = source if isinstance(source, str) else None
        self._templates = () if isinstance(source, str) else tuple(Template(text) for text in source)

    @property
    def columns(self) -> frozenset[str]:
        """The columns it reads."""
        if self._column is not None:
            return frozenset((self._column.partition(".")[0],))
        return frozenset().union(*(template.columns for template in self._templates))

    def render(self, row: Row) -> tuple[str, ...]:
        """The texts of a row. One text in the column is a list of one; null is an empty list.

        Raises DataError for a column that is missing, or holds anything but texts and numbers.
        """
        if self._column is None:
            return tuple(template.render_text(row) for template in self._templates)
        return self._texts(row, self._column)

    def prompts(self, row: Row) -> tuple[Prompt, ...]:
        """The same as prompts, with the special tokens of the templates. Raises DataError as :meth:`render` does."""
        if self._column is None:
            return tuple(template.render(row) for template in self._templates)
        return tuple(as_prompt(text) for text in self._texts(row, self._column))

    def _texts(self, row: Row, column: str) -> tuple[str, ...]:
        value = self._value(row, column)
        items = () if value is None else value if isinstance(value, (list, tuple)) else (value,)
        try:
            return tuple(str(text_value(item)) for item in items)
        except NotText as error:
            message = f"the column {column!r} holds {error.kind}, expected text or a list of texts"
            raise DataError(row.problem(message)) from error

    def _value(self, row: Row, column: str) -> Any:
        if column in row or "." not in column:
            return row[column]
        outer, _, inner = column.partition(".")
        value = row[outer]
        if not isinstance(value, Mapping) or inner not in value:
            got = f"a mapping with {', '.join(map(repr, value))}" if isinstance(value, Mapping) else repr(value)
            raise DataError(row.problem(f"the column {outer!r} holds {got}, expected a mapping with {inner!r}"))
        return value[inner]
