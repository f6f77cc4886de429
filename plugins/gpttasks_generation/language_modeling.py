"""Unchanged text, for pretraining and perplexity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, ClassVar

from pydantic import Field, model_validator

from gpttasks import (
    Example,
    Options,
    Part,
    Row,
    Task,
    Template,
    TemplateText,
    UnusableRow,
    as_prompt,
    prompt_text,
    special_places,
)


class LanguageModelingOptions(Options):
    """The options of the task ``language-modeling``."""

    prompt: TemplateText = Field("{{ text | passage }}", description="the template of the text of one row")
    join: str | None = Field(
        None,
        description="join the rows of a document into one text, with this string between them; blank rows are kept",
    )
    document: str | None = Field(
        None,
        description="with `join`: the column that identifies the document; its rows must be consecutive. null "
        "joins all rows",
    )

    @model_validator(mode="after")
    def _document_is_used(self) -> LanguageModelingOptions:
        if self.document is not None and self.join is None:
            raise ValueError("document: is read only with join; give join: '\\n', for instance")
        return self


class LanguageModeling(Task):
    """Each row is a text, or a line of one, and head ``lm`` predicts its tokens: pretraining and perplexity."""

    name = "language-modeling"
    Options = LanguageModelingOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}"}
    sample_rows: ClassVar = ({"text": "The lights went out."}, {"text": "Everyone stayed."})
    fields = frozenset({"prompt"})

    options: LanguageModelingOptions

    def __init__(self, options: LanguageModelingOptions | None = None) -> None:
        super().__init__(options)
        self._template = Template(self.options.prompt)

    @property
    def blank_rows(self) -> bool:
        return self.options.join is not None

    @property
    def columns(self) -> frozenset[str]:
        return frozenset() if self.options.join is not None else self._template.required

    @property
    def input_columns(self) -> frozenset[str]:
        return self._template.columns

    def example(self, row: Row) -> Example:
        """The text of the row; the text itself is what is predicted."""
        return Example(self._template.render(row))

    def examples(self, rows: Iterable[Row]) -> Iterator[Example | UnusableRow]:
        """One example per row, or one per document with its rows joined."""
        join = self.options.join
        if join is None:
            yield from super().examples(rows)
            return
        for name, lines in groupby(rows, key=self._document_of):
            between = Part.with_special_tokens(join) if join.strip() else Part(join)
            parts = as_prompt([part for line in lines for part in (between, *self._template.render(line))][1:])
            document = Part(prompt_text(parts), "passage", special=special_places(parts))
            yield Example([document], id="" if name is None else str(name))

    def _document_of(self, row: Row) -> Any:
        return None if self.options.document is None else row[self.options.document]
