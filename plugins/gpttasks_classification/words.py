"""The words of labels, and which of them a value in the data means."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from gpttasks import DataError, Row, did_you_mean


def as_text(value: Any) -> Any:
    """A label, as a recipe or a column may hold it (``1``, ``1.0``, ``true``), as the text by which it is compared."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    return value


def _distinct(labels: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
    words = list(labels) if isinstance(labels, list) else list(labels.values())
    if any(not word.strip() for word in words):
        raise ValueError(f"got a blank word among {words}")
    if isinstance(labels, list) and len(set(words)) < len(words):
        raise ValueError(f"got a word twice among {words}; to join values, map them to the same word")
    if len(set(words)) < 2:
        raise ValueError(f"got {words}, expected at least two words to choose from")
    return labels


Word = Annotated[str, BeforeValidator(as_text, json_schema_input_type=str | int | float | bool)]

Labels: TypeAlias = Annotated[list[Word] | dict[Word, Word], AfterValidator(_distinct)]
"""The type of the option ``labels``: the words in the order of the indices, or a word for each value of the column."""


class LabelWords:
    """The words to choose from, and the values that stand for them.

    words:
        each once, in the order of their indices.
    """

    def __init__(self, labels: list[str] | dict[str, str]) -> None:
        self.words = tuple(dict.fromkeys(labels if isinstance(labels, list) else labels.values()))
        self._index = {word: index for index, word in enumerate(self.words)}
        self._mapped = frozenset(labels) if isinstance(labels, dict) else frozenset()
        self._first: dict[int, str] = {}
        """The value that first meant each word, by the index of the word."""
        if isinstance(labels, dict):
            self._index |= {value: self._index[word] for value, word in labels.items()}
        elif not any(re.fullmatch(r"[+-]?\d+", word) for word in labels):
            # Where the words are numbers (1 to 5 stars), a number is a word and not a position.
            self._index |= {str(index): index for index in range(len(labels))}

    def index(self, value: Any, row: Row, column: str) -> int:
        """The index of the word that a value means.

        Raises DataError, at the row, for a value that means none, and for a second value that means the same word,
        unless a mapping says so: a column that holds words and positions may mean something else by them.
        """
        text = as_text(value)
        try:
            index = self._index[text]
        except (KeyError, TypeError):
            known = ", ".join(self._index)
            message = f"the column {column!r} holds {text!r}, which is not among the labels: {known}"
            raise DataError(row.problem(message, did_you_mean(str(text), self._index))) from None
        first = self._first.setdefault(index, text)
        if first != text and not {first, text} <= self._mapped:
            word = self.words[index]
            message = f"the column {column!r} holds {text!r} here and {first!r} before, which both mean {word!r}"
            hint = f"if that is right, map both with task.labels: {{{first!r}: {word!r}, {text!r}: {word!r}, ...}}"
            raise DataError(row.problem(message, hint))
        return index
