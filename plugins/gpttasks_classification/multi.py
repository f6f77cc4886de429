"""The task ``multi-label-classification``: any number of labels a row."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gpttasks import Example, Row

from .base import PromptOptions, PromptTask, is_blank
from .words import Labels, LabelWords


class MultiLabelOptions(PromptOptions):
    """The options of the task ``multi-label-classification``."""

    label: str = Field(
        "labels",
        description="the column with the labels: a list, which may be empty, or, with `separator`, one string",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        description="the separator between labels if the column holds one string, such as ';'; a blank string "
        "means no labels",
    )
    labels: Labels = Field(
        description="the word for each label: a list in the order of the label indices, or a mapping from the "
        "values of the column to words. If the data name their classes, a list or a mapping from numbers must agree "
        "with these names, except for case, punctuation and abbreviation (neg, negative); a mapping from names to "
        "words may use any words"
    )


class MultiLabelClassification(PromptTask):
    """Multi-label classification: a prompt, the words to choose from, and which of them are right.

    The right ones are the example's ``labels``; the target is the right words in their order, joined by ", ". Null says
    that the answer is not known, an empty list that no label applies.
    """

    name = "multi-label-classification"
    Options = MultiLabelOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}\nAnswer:", "labels": ("short", "sad")}
    sample_rows: ClassVar = ({"text": "Dull.", "labels": ["short"]}, {"text": "It rains.", "labels": ["short", "sad"]})
    fields = frozenset({"prompt", "choices", "labels", "target"})

    options: MultiLabelOptions

    def __init__(self, options: MultiLabelOptions) -> None:
        super().__init__(options)
        self._labels = LabelWords(options.labels)
        self.words = self._labels.words

    def example(self, row: Row) -> Example:
        """Raises DataError for a value in the label column that ``labels`` does not know."""
        prompt, values = self.template.render(row), self._values(row.get(self.options.label))
        if values is None:
            return Example(prompt, choices=self.words)
        right = {self._labels.index(value, row, self.options.label) for value in values}
        return Example(
            prompt,
            choices=self.words,
            labels=right,
            target=", ".join(word for index, word in enumerate(self.words) if index in right),
        )

    def _values(self, held: Any) -> list[Any] | None:
        """The labels that the column holds, one value by itself being a list of one; None where it holds no answer."""
        separator = self.options.separator
        if isinstance(held, (list, tuple)):
            return list(held)
        if isinstance(held, str) and separator is not None:
            return [piece.strip() for piece in held.split(separator) if piece.strip()]
        return None if is_blank(held) else [held]
