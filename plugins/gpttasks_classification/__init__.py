"""Classification: one label a row, from a column, put into words."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gpttasks import DataError, Example, Options, Row, Task, Template, TemplateText, did_you_mean, hookimpl


def as_text(value: Any) -> Any:
    """A label, as a recipe or a column may hold it (``1``, ``1.0``, ``true``), as the text by which it is compared."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    return value


Word = Annotated[str, BeforeValidator(as_text, json_schema_input_type=str | int | float | bool)]


class ClassificationOptions(Options):
    """The options of the task ``classification``."""

    prompt: TemplateText = Field(description="the template of the prompt, such as '{{ text | passage }}\\nSentiment:'")
    label: str = Field("label", description="the column with the label")
    labels: list[Word] | dict[Word, Word] = Field(
        description="the word for each label: a list in the order of the indices, or a mapping from the column's values"
    )

    @model_validator(mode="after")
    def _distinct(self) -> ClassificationOptions:
        words = list(self.labels) if isinstance(self.labels, list) else list(self.labels.values())
        if any(not word.strip() for word in words):
            raise ValueError(f"labels: got a blank word among {words}")
        if isinstance(self.labels, list) and len(set(words)) < len(words):
            raise ValueError(f"labels: got a word twice among {words}; to join values, map them to the same word")
        if len(set(words)) < 2:
            raise ValueError(f"labels: got {words}, wanted at least two words to choose from")
        return self


class Classification(Task):
    """Single-label classification: a prompt, the words to choose from, and the index of the right one."""

    name = "classification"
    Options = ClassificationOptions
    fields = frozenset({"prompt", "choices", "label"})

    options: ClassificationOptions

    def __init__(self, options: ClassificationOptions) -> None:
        super().__init__(options)
        self._template = Template(options.prompt)
        labels = options.labels
        self.words = tuple(dict.fromkeys(labels if isinstance(labels, list) else labels.values()))
        self._index = {word: index for index, word in enumerate(self.words)}
        if isinstance(labels, dict):
            self._index |= {value: self._index[word] for value, word in labels.items()}
        elif not any(re.fullmatch(r"[+-]?\d+", word) for word in labels):
            # Where the words are numbers (1 to 5 stars), a number is a word and not a position.
            self._index |= {str(index): index for index in range(len(labels))}

    @property
    def columns(self) -> frozenset[str]:
        return self._template.required

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.label,))

    def example(self, row: Row) -> Example:
        """Raises DataError for a value in the label column that ``labels`` does not know."""
        return Example(self._template.render(row), choices=self.words, label=self._label(row))

    def _label(self, row: Row) -> int | None:
        value = as_text(row.get(self.options.label))
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            return self._index[value]
        except (KeyError, TypeError):
            known = ", ".join(self._index)
            message = f"the column {self.options.label!r} holds {value!r}, which is not among the labels: {known}"
            raise DataError(row.problem(message, did_you_mean(str(value), self._index))) from None


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the task known."""
    register.task(Classification)
