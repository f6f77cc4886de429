"""The task ``classification``: one label a row."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gpttasks import Example, Row

from .base import PromptOptions, PromptTask, is_blank
from .words import Labels, LabelWords


class ClassificationOptions(PromptOptions):
    """The options of the task ``classification``."""

    label: str = Field("label", description="the column with the label")
    labels: Labels = Field(
        description="the word for each label: a list in the order of the label indices, or a mapping from the "
        "values of the column to words. If the data name their classes, a list or a mapping from numbers must agree "
        "with these names, except for case, punctuation and abbreviation (neg, negative); a mapping from names to "
        "words may use any words"
    )


class Classification(PromptTask):
    """Single-label classification: a prompt, the words to choose from, and the index of the right one."""

    name = "classification"
    Options = ClassificationOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}\nAnswer:", "labels": ("bad", "good")}
    sample_rows: ClassVar = ({"text": "Dull.", "label": "bad"}, {"text": "Lovely.", "label": "good"})
    fields = frozenset({"prompt", "choices", "label"})

    options: ClassificationOptions

    def __init__(self, options: ClassificationOptions) -> None:
        super().__init__(options)
        self._labels = LabelWords(options.labels)
        self.words = self._labels.words

    def example(self, row: Row) -> Example:
        """Raises DataError for a value in the label column that ``labels`` does not know."""
        return Example(self.template.render(row), choices=self.words, label=self._label(row))

    def _label(self, row: Row) -> int | None:
        value = row.get(self.options.label)
        return None if is_blank(value) else self._labels.index(value, row, self.options.label)
