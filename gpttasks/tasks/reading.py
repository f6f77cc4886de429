"""From rows to checked examples: ids, groups, and unusable rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..data.options import SplitOptions
from ..data.rows import Row
from ..errors import DataError, Problem, UnusableRow, did_you_mean
from ..example import Example, input_key, prompt_text
from ..hashing import content_digest
from .task import Task, placed_examples
from .text_values import NotText, text_value

_ID_LENGTH = 16  # hex digits: 64 bits
MOST_LABEL_VALUES = 1000
"""The number of different values of a label column that are counted."""
LOOK_FOR_LEAKS = 20
"""The number of rows whose prompts are made again with another right answer: a template leaks it in all or in none."""
READ_WHOLE = 10_000
"""The number of rows of which every one becomes an example, even where a limit chooses few."""
ADVICE = "correct these rows, or skip and count them with task.data.bad_rows=skip"


class NeedsAllRows(Exception):
    """Raised after rows have been left out, at a row whose example has an id or digest that the task gave it.

    Examples of the rows before may have had such ids too: the split has to be read again, as a whole.
    """


class ExampleReader:
    """Reads the examples of one split, and counts rows.

    needs:
        The example fields that every example must have (``label``, ``references``, ...).
    advice:
        What to do about unusable rows, for the error.
    streams:
        Whether the examples are used one after another, and never together. Then the first unusable row is an error at
        once, ids need not be unique, and no memory grows with the number of rows.

    After :meth:`read`, ``rows`` is the number of rows read, ``skipped`` the number of rows that could not be used, and
    ``passed`` the number of rows that were not chosen and so did not become examples. ``label_values`` counts which
    value in the data was read as which label, where all rows have the same choices.
    """

    def __init__(
        self,
        task: Task,
        data: SplitOptions,
        needs: frozenset[str] = frozenset(),
        *,
        advice: str = ADVICE,
        streams: bool = False,
    ) -> None:
        self._task = task
        self._streams = streams
        self._advice = advice
        self._data = data
        self._needs = needs
        self.group = data.group
        self._first_bad: Problem | None = None
        self._misfit: str | None = None
        self._seen: set[str] = set()
        self._repeats: Counter[str] = Counter()
        self._places: dict[str, str] = {}
        self._answers: dict[str, Any] | None = None
        self._looked = 0
        self._choices: tuple[str, ...] | None = None
        self.label_values: Counter[tuple[str, str]] = Counter()
        self._label_of: dict[str, str | None] = {}
        """The label of each value in a list of labels, by the displayed value; None if the label is not known."""
        self.rows = 0
        self.skipped = 0
        self.passed = 0
        # Rows alone tell which of them are chosen if each becomes one example, whose id is that of the row. Rows that
        # are to be skipped are counted, so all of them have to become examples.
        self._chooses = type(task).examples is Task.examples and data.bad_rows == "error" and not streams
        self._chosen_id: str | None = None

    def read(
        self, rows: Iterable[Row], *, keyed: bool = True, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[Example]:
        """The examples, each with an id, a group if there is one, the digest of its row and the key of its input.

        keyed:
            False leaves the keys out, for a caller that gives them to the chosen examples by :meth:`with_key`.
        wanted:
            whether the caller will use an example with this id. After the first ``READ_WHOLE`` rows, a row that is not
            wanted does not become an example if its id is known without: only its columns are checked.

        Raises DataError at the end, with the number of unusable rows and the first of them, unless ``bad_rows`` is
        ``skip``. Raises it at once for a missing column, a duplicate id, or anything that the task rejects.
        Raises NeedsAllRows if ``wanted`` is given and the task turns out to have ids of its own.
        """
        fitting = False
        for row, example in placed_examples(self._task, self._usable(rows, wanted)):
            if isinstance(example, UnusableRow):
                self._reject(row, example.problems[0])
                continue
            self._look_for_leaks(example, row)
            flaw = self._flaw_of_example(example, row)
            if flaw is None:
                fitting = True
                self._count_label(example, row)
                example = self._with_id(example, row)
                yield self.with_key(example) if keyed else example
            else:
                self._reject(row, flaw)
        if self._first_bad is not None and self._data.bad_rows == "error":
            first = self._first_bad
            count = f"at least {self.skipped}" if self.passed else str(self.skipped)
            message = f"{count} of {self.rows} rows cannot be used; the first: {first.message}"
            # If no example has a field, the data are not to blame.
            advice = self._advice if fitting else self._misfit or self._advice
            raise DataError(replace(first, message=message, hint=first.hint or advice))

    def nothing_left(self, split: str, source: str) -> DataError:
        """The error for a split without any example."""
        first = self._first_bad
        if first is None:
            return DataError(f"the split {split!r} of {source} is empty", hint="it has no rows")
        message = f"the split {split!r} of {source} is empty: all {self.rows} rows were skipped; the first: {first}"
        return DataError(message)

    def _usable(self, rows: Iterable[Row], wanted: Callable[[str], bool] | None) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            flaw = self._flaw_of_row(row)
            if flaw is not None:
                self._reject(row, flaw)
            elif wanted is None or self.rows <= READ_WHOLE or self._is_chosen(row, wanted):
                yield row

    def _is_chosen(self, row: Row, wanted: Callable[[str], bool]) -> bool:
        """Whether a row has to become an example; those that have not are counted."""
        if not self._chooses:
            return True
        name = self._unique_id(row.id, row, row.digest)
        if not wanted(name):
            self.passed += 1
            return False
        self._chosen_id = name
        return True

    def _flaw_of_row(self, row: Row) -> str | None:
        if not self._task.blank_rows and all(is_blank(value) for value in row.values()):
            return "the row is empty"
        for column in self._required:
            if is_blank(row[column]):
                kind = "null" if row[column] is None else "blank"
                return f"the column {column!r} is {kind}"
        row.id = None if self._data.id is None else _name(row, self._data.id)
        row.group = None if self._data.group is None else _name(row, self._data.group)
        return None

    @cached_property
    def _required(self) -> list[str]:
        """The columns that must hold a value in every row."""
        named = {name for name in (self._data.id, self._data.group) if name is not None}
        return sorted(self._task.columns | named)

    def _flaw_of_example(self, example: Example, row: Row) -> str | None:
        text = prompt_text(example.prompt)
        if not self._task.blank_prompts:
            if not text.strip():
                return "the prompt is blank"
            if any(part.kind == "passage" and not part.text.strip() for part in example.prompt):
                return "the passage is blank"
        _check_labels(example, row)
        texts = {"prompt": text, "target": example.target or ""}
        texts |= {name: "".join(getattr(example, name)) for name in ("choices", "references")}
        texts |= {"contexts": "".join(map(prompt_text, example.contexts))}
        for name, one in texts.items():
            if not _is_unicode(one):
                return (
                    f"the {name} {'have' if name.endswith('s') else 'has'} a lone surrogate, which is not a character"
                )
        missing = sorted(self._needs - example.fields)
        if not missing:
            return None
        flaw = f"there is no {' and no '.join(missing)}"
        absent = sorted(self._task.answer_columns - row.keys())
        if absent:
            hint = did_you_mean(absent[0], row)
            flaw += f", since there is no column {absent[0]!r}{row.known()}" + (f"; {hint}" if hint else "")
        self._misfit = (
            f"the head or a metric needs it, and these examples have {', '.join(sorted(example.fields)) or 'nothing'}"
        )
        return flaw

    def _reject(self, row: Row, flaw: str | Problem) -> None:
        self.skipped += 1
        problem = row.problem(flaw) if isinstance(flaw, str) else flaw
        if self._streams:
            raise DataError(replace(problem, hint=problem.hint or self._advice))
        self._first_bad = self._first_bad or problem

    def _look_for_leaks(self, example: Example, row: Row) -> None:
        """Raises DataError if the prompt changes when it is made with the right answer of an earlier row."""
        answers = {column: row[column] for column in self._task.answer_columns & row.keys()}
        if not answers or self._looked >= LOOK_FOR_LEAKS or type(self._task).examples is not Task.examples:
            return
        before, self._answers = self._answers, answers
        if before is None or before == answers:
            return
        self._looked += 1
        other = row.with_values(before)
        try:
            made = self._task.example(other)
        except Exception:  # the other answer does not suit this row, for which a task may raise anything
            return
        # Choices may be made of the right answer; contexts are then made of it too.
        shown = made.contexts != example.contexts or (bool(made.contexts) and made.target != example.target)
        if made.prompt != example.prompt or (shown and made.choices == example.choices):
            named = " or ".join(repr(column) for column in sorted(answers))
            hint = "remove the right answer from the prompt"
            raise DataError(
                row.problem(f"the prompt contains the right answer: it changes with the column {named}", hint)
            )

    def _count_label(self, example: Example, row: Row) -> None:
        columns = self._task.answer_columns
        if len(columns) != 1 or len(self.label_values) > MOST_LABEL_VALUES:
            return
        (column,) = columns
        if (example.label is None and not example.labels) or column not in row:
            return
        self._choices = example.choices if self._choices is None else self._choices
        if self._choices != example.choices:  # the choices are the row's own: a label means another text in each
            self._choices = ()
            self.label_values.clear()
        elif example.label is not None and example.label < len(example.choices):
            self.label_values[_shown_value(row[column], row, column), example.choices[example.label]] += 1
        elif example.labels:
            self._count_labels(example, row, column)

    def _count_labels(self, example: Example, row: Row, column: str) -> None:
        """Count each value of a list: its label is that of a row whose list contains only this value."""
        for value in row[column] if isinstance(row[column], (list, tuple)) else ():
            shown = _shown_value(value, row, column)
            if shown not in self._label_of:
                try:
                    alone = self._task.example(row.with_values({column: [value]})).labels or ()
                except Exception:  # a plugin's task may refuse a list of one value with any error
                    alone = ()
                self._label_of[shown] = example.choices[alone[0]] if len(alone) == 1 else None
            label = self._label_of[shown]
            if label is not None:
                self.label_values[shown, label] += 1

    def with_key(self, example: Example) -> Example:
        """The example with the key of its input; see :func:`~gpttasks.example.input_key`."""
        if example.input_key:
            return example
        digest = example.input_digest
        key = (digest if self._task.input_columns == frozenset() else input_key(example)) or digest
        return example.marked(id=example.id, group=example.group, input_digest=digest, input_key=key)

    def _with_id(self, example: Example, row: Row) -> Example:
        digest = example.input_digest or _digest_of(example)
        if self._streams:
            return example.marked(id=example.id or digest[:_ID_LENGTH], group=example.group, input_digest=digest)
        if self._chooses and (example.id != (row.id or "") or digest != row.digest):  # the task has ids of its own
            if self.passed:
                raise NeedsAllRows
            self._chooses, self._chosen_id = False, None
        name, self._chosen_id = self._chosen_id, None
        return example.marked(
            id=name or self._unique_id(example.id, row, digest), group=example.group, input_digest=digest
        )

    def _unique_id(self, given: str | None, row: Row, digest: str) -> str:
        """The id that is given, else one from the digest and the number of earlier examples with the same digest.

        Raises DataError for a given id that occurred before.
        """
        if given:
            if given in self._places:
                both = f"{self._places[given]} and {row.place}"
                hint = "ids must be unique within a split"
                raise DataError(row.problem(f"duplicate id {given!r}, at {both}", hint))
            self._places[given] = row.place
            return given
        name = digest[:_ID_LENGTH]
        if name not in self._seen:
            self._seen.add(name)  # a set takes half the memory of a counter: most rows occur once
            return name
        self._repeats[name] += 1
        return f"{name}-{1 + self._repeats[name]}"


def _shown_value(value: Any, row: Row, column: str) -> str:
    """A value of the label column, with the name that the data give to the class: ``0 (neg)``."""
    names = row.class_names.get(column, ())
    named = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)
    return f"{value!r} ({names[value]})" if named else repr(value)


def _name(row: Row, column: str) -> str:
    """An id or a group as text. Raises DataError for a list, a mapping, or bytes that are not text."""
    value = row[column]
    try:
        return str(value if isinstance(value, bool) else text_value(value))
    except NotText as error:
        raise DataError(row.problem(f"the column {column!r} is {error.kind}, expected text or a number")) from error


def _check_labels(example: Example, row: Row) -> None:
    """Raises DataError for a label that is not the index of a choice: an error of the task, not of the row."""
    choices = len(example.choices)
    for name, labels in (("label", (example.label,)), ("labels", example.labels or ())):
        wrong = [label for label in labels if label is not None and label >= choices > 0]
        if wrong:
            message = f"{name}: got {wrong[0]}, expected the index of one of {choices} choices, 0 to {choices - 1}"
            raise DataError(row.problem(message, "the task sets it in example()"))


def is_blank(value: Any) -> bool:
    """Whether a value is empty: null, NaN, white space, or an empty list or mapping."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return value != value
    return isinstance(value, (list, tuple, Mapping)) and not value


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _digest_of(example: Example) -> str:
    """A digest of the example itself, if its task does not set one of its rows."""
    parts = [
        (part.kind, part.text, part.media.digest if part.media else None, *(["end"] if part.keep == "end" else []))
        for part in example.prompt
    ]
    right = example.value if example.label is None else example.label
    more = [value for value in (example.labels, example.contexts, example.structure) if value]
    return content_digest([parts, example.target, example.choices, right, example.references, *more])
