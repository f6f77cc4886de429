"""The words of labels, and which of them a value in the data means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from gpttasks import DataError, Row, did_you_mean

from .classes import contradictions, line_for


def as_text(value: Any) -> Any:
    """A label, as a recipe or a column may hold it (``1``, ``1.0``, ``true``), as the text by which it is compared."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    return value


def _each_key_once(labels: Any) -> Any:
    """The unchanged labels. Raises ValueError for two keys of a mapping that are the same value: ``1`` and ``"1"``."""
    keys: dict[Any, Any] = {}
    for key in labels if isinstance(labels, Mapping) else ():
        if keys.setdefault(as_text(key), key) is not key:
            raise ValueError(f"got the keys {keys[as_text(key)]!r} and {key!r}, which are the same value")
    return labels


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

Labels: TypeAlias = Annotated[list[Word] | dict[Word, Word], BeforeValidator(_each_key_once), AfterValidator(_distinct)]
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
        self._of_classes: dict[tuple[str, ...], tuple[str | None, ...]] = {}
        """For each tuple of class names, the key in ``_index`` of each class."""
        # Where the words are numbers (1 to 5 stars), a number is a word and not a position.
        self._positions = isinstance(labels, list) and not any(re.fullmatch(r"[+-]?\d+", word) for word in labels)
        if isinstance(labels, dict):
            self._index |= {value: self._index[word] for value, word in labels.items()}
        elif self._positions:
            self._index |= {str(index): index for index in range(len(labels))}

    def index(self, value: Any, row: Row, column: str) -> int:
        """The index of the word that a value means.

        Raises DataError, at the row, for a value that means none, for a second value that means the same word, unless
        a mapping says so (a column that holds words and positions may mean something else by them), and for words
        that contradict the names that the data give their classes.
        """
        names = row.class_names.get(column, ())
        number = None if not names else _class_number(value, names)
        text = as_text(value) if number is None else self._key_of(number, names, row, column)
        if isinstance(value, bool) and self._mapped and text not in self._index:
            text = str(int(value))  # {"1": yes} matches 1 and true
        try:
            index = self._index[text]
        except (KeyError, TypeError):
            known = ", ".join(self._index)
            held = repr(as_text(value)) if number is None else f"{value!r}, the class {names[number]!r}"
            message = f"the column {column!r} holds {held}, which is not among the labels: {known}"
            raise DataError(row.problem(message, did_you_mean(str(text), self._index))) from None
        first = self._first.setdefault(index, text)
        if first != text and not {first, text} <= self._mapped:
            word = self.words[index]
            message = f"the column {column!r} holds {text!r} here and {first!r} before, which both mean {word!r}"
            hint = f"if that is right, map both with task.labels: {{{first!r}: {word!r}, {text!r}: {word!r}, ...}}"
            raise DataError(row.problem(message, hint))
        return index

    def _key_of(self, number: int, names: tuple[str, ...], row: Row, column: str) -> str:
        """The value of the recipe that stands for a class of the data; the name of the class if none does."""
        if names not in self._of_classes:
            self._of_classes[names] = self._keys_of(names, row, column)
        return self._of_classes[names][number] or names[number]

    def _keys_of(self, names: tuple[str, ...], row: Row, column: str) -> tuple[str | None, ...]:
        """The key of each class in the recipe: its name, if a mapping contains it, or else its number.

        Raises DataError for words that contradict the names. A mapping from names to words cannot contradict
        them, since it renames the classes.
        """
        by_name = {number: name for number, name in enumerate(names) if name in self._mapped}
        if self._mapped:
            by_number = {number: str(number) for number in range(len(names)) if str(number) in self._mapped}
        else:
            if len(names) != len(self.words):
                problem = f"task.labels has {len(self.words)} words for {len(names)} classes"
                raise self._contradiction(problem, names, row, column)
            # Positions count unless the words are numbers.
            by_number = {number: str(number) if self._positions else word for number, word in enumerate(self.words)}
        if len(by_name) == len(names) and not set(by_number) >= set(by_name):
            # Keys that are names are not numbers of classes, even if they look like numbers.
            by_number = {number: key for number, key in by_number.items() if key not in names}
        for number in by_name.keys() & by_number.keys():
            name, key = by_name[number], by_number[number]
            if self._index[name] != self._index[key]:
                problem = (
                    f"task.labels maps {key!r} and {name!r}, the number and the name of one class, to different words"
                )
                raise self._contradiction(problem, names, row, column)
        words = {number: self.words[self._index[key]] for number, key in by_number.items() if number not in by_name}
        wrong = contradictions(names, words)
        if wrong:
            shown = ", ".join(f"{words[number]!r} for {number}" for number in wrong)
            raise self._contradiction(f"task.labels has {shown}", names, row, column)
        return tuple(by_name.get(number, by_number.get(number)) for number in range(len(names)))

    def _contradiction(self, problem: str, names: tuple[str, ...], row: Row, column: str) -> DataError:
        classes = ", ".join(f"{number} {name!r}" for number, name in enumerate(names))
        message = f"the data name the classes of the column {column!r} {classes}, but {problem}"
        hint = f"map each name to a word, for example {line_for(names, self.words)}"
        return DataError(row.problem(message, hint))


def _class_number(value: Any, names: Sequence[str]) -> int | None:
    """The class that a value names or numbers; None if it does neither. A text is a name before it is a number."""
    if isinstance(value, str) and value in names:
        return names.index(value)
    text = as_text(value)
    if isinstance(value, bool) or not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,9}", text):
        return None
    return int(text) if int(text) < len(names) else None
