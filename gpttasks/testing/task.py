"""The rules for tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.rows import Row
from ..errors import UnusableRow
from ..example import Example
from ..tasks.task import Task, placed_examples
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .samples import HARD_TEXTS
from .task_run import task_round_trip


@dataclass(frozen=True)
class TaskSubject:
    """A task and some rows of data for it."""

    task: Task
    rows: Sequence[Mapping[str, Any]]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[Example | UnusableRow]:
        """The examples of rows, or the reason why a row has none."""
        placed = [Row(row, place=f"sample row {number}") for number, row in enumerate(rows, 1)]
        return [example for _, example in placed_examples(self.task, placed)]

    @property
    def examples(self) -> list[Example]:
        """The examples of the usable rows."""
        return [example for example in self.read(self.rows) if isinstance(example, Example)]

    @property
    def by_row(self) -> bool:
        """Whether each row becomes its own example."""
        return type(self.task).examples is Task.examples


def check_task(task: Task, rows: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """The faults of a task on rows of data, best three or more with different right answers.

    Raises ValueError for fewer than two rows.
    """
    if len(rows) < 2:
        raise ValueError(f"task {task.name!r}: got {len(rows)} rows, expected two or more with different right answers")
    return run_rules("task", task.name, lambda: TaskSubject(task, rows), RULES)


@rule("correct the rows, or let example() read them")
def reads_its_rows(subject: TaskSubject) -> Iterator[str]:
    """Every sample row can be used."""
    for example in subject.read(subject.rows):
        if isinstance(example, UnusableRow):
            yield f"got {error_text(example)}, expected an example"
    if not subject.examples:
        yield "got no example, expected one or more"


_ANSWER_FIELDS = frozenset({"target", "label", "labels", "value", "references", "structure"})


@rule("give sample rows with different right answers: only then can prompts that reveal the answer be found")
def answers_differ(subject: TaskSubject) -> Iterator[str]:
    """The sample rows have more than one right answer, and not always at the same position among the choices."""
    answers = [{name: getattr(one, name) for name in _ANSWER_FIELDS & one.fields} for one in subject.examples]
    if len(answers) > 1 and answers[0] and all(other == answers[0] for other in answers):
        yield f"got the same right answer in all {len(answers)} rows, expected different ones"
        return
    judged = [one for one in subject.examples if one.choices and one.label is not None]
    if len(judged) > 2 and len({one.label for one in judged}) == 1:
        yield f"got the right answer as choice {judged[0].label} of every example, expected different positions"


@rule("derive random choices from the row itself, for example from its hash, and keep nothing between two reads")
def deterministic(subject: TaskSubject) -> Iterator[str]:
    """The same rows give the same examples."""
    if subject.examples != subject.examples:
        yield "got different examples from the same rows, expected the same"


@rule("let example() use only its row: no counter, no row.place")
def order_does_not_matter(subject: TaskSubject) -> Iterator[str]:
    """The order of the rows does not change any example, unless the task joins rows."""
    if subject.by_row:
        reordered = [one for one in subject.read(list(reversed(subject.rows))) if isinstance(one, Example)]
        if list(reversed(reordered)) != subject.examples:
            yield "got different examples from the rows in another order, expected the same"


@rule("remove it from the prompt, and name the columns that hold it in answer_columns")
def label_not_in_prompt(subject: TaskSubject) -> Iterator[str]:
    """The prompt does not depend on the right answer: it is the same with another answer and with none."""
    answers = subject.task.answer_columns or (_answer_columns(subject) if subject.by_row else frozenset())
    if subject.by_row and answers:
        others = [*subject.rows[1:], subject.rows[0]]
        for row, other in zip(subject.rows, others, strict=True):
            changed = {**row, **{column: other[column] for column in answers & other.keys()}}
            bare = {column: value for column, value in row.items() if column not in answers}
            for what, variant in (("another right answer", changed), ("no right answer", bare)):
                if what == "no right answer" and not subject.task.answer_columns:
                    continue  # the task does not say that these columns may be absent
                prompts = _prompts(subject, [variant])  # none if the other answer does not fit this row
                if prompts and prompts != _prompts(subject, [row]):
                    yield f"got a different prompt with {what} in {sorted(answers)}, expected the same prompt"
                    return
    elif prompts_reveal_answer(subject.examples):
        yield "got the right choice, and no other, in the text of every prompt, expected prompts that do not reveal it"


def _answer_columns(subject: TaskSubject) -> frozenset[str]:
    """The columns that hold the right label in every row, as an index or as text, for a task that names none."""
    pairs = list(zip(subject.rows, subject.read(subject.rows), strict=False))
    labelled = [(row, one) for row, one in pairs if isinstance(one, Example) and _has_index(one)]
    if len(labelled) < len(pairs) or len({one.label for _, one in labelled}) < 2:
        return frozenset()
    return frozenset(
        column
        for column in subject.rows[0]
        if all(
            row.get(column) in (one.label, str(one.label), one.choices[int(one.label or 0)]) for row, one in labelled
        )
    )


def _has_index(example: Example) -> bool:
    return example.label is not None and example.label < len(example.choices)


def prompts_reveal_answer(examples: Sequence[Example]) -> bool:
    """Whether the right choice, and none of the others, occurs in each prompt."""
    judged = [one for one in examples if one.label is not None and len(set(one.choices)) > 1]
    return len(judged) > 1 and all(
        [place for place, choice in enumerate(one.choices) if choice in "".join(part.text for part in one.prompt)]
        == [one.label]
        for one in judged
    )


@rule("fill the field in every example, or leave it out of fields")
def fields_as_declared(subject: TaskSubject) -> Iterator[str]:
    """``fields`` lists exactly the fields that every example fills."""
    declared = subject.task.fields
    for example in subject.examples if declared is not None else ():
        missing = sorted((declared or frozenset()) - example.fields)
        if missing:
            yield f"got an example without {', '.join(missing)}, expected all of fields {sorted(declared or ())}"
            return


@rule("give the index of the right choice, counted from 0")
def labels_are_indices(subject: TaskSubject) -> Iterator[str]:
    """The label, and each of the labels, of an example with choices is the index of one of them."""
    for one in subject.examples:
        indices = [*(() if one.label is None else (one.label,)), *(one.labels or ())]
        if one.choices and max(indices, default=0) >= len(one.choices):
            yield f"got the label {max(indices)}, expected an index of {len(one.choices)} choices"
            return


@rule("put the target among the references, and make it the choice that the label names")
def gold_scores_best(subject: TaskSubject) -> Iterator[str]:
    """The target is a right answer: it is one of the references."""
    for one in subject.examples:
        references = [reference for reference in one.references if reference.strip()]
        if one.target is not None and references and one.target.strip() not in map(str.strip, references):
            yield f"got the target {one.target!r} and the references {references}, expected it among them"
            return
        # A list of hypotheses need not hold the target: then the label is the nearest one.
        chosen = one.choices[int(one.label or 0)] if _has_index(one) else one.target
        if one.target in one.choices and chosen != one.target:
            yield f"got the target {one.target!r} and the label of {chosen!r}, expected the same answer"
            return


@rule("raise UnusableRow(row.problem(...)) for what cannot be used")
def hard_texts(subject: TaskSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left text, alone and in lists, gives an example or is refused."""
    for what, column, value in _hard_values(subject.rows[0], subject.task.answer_columns):
        try:
            subject.read([{**subject.rows[0], column: value}])
        except Exception as error:  # noqa: PERF203 - each text by itself
            cause = error.__cause__ or error
            if error.__cause__ is not None or not is_refusal(error):
                yield f"{what} in {column!r}: got {error_text(cause)}, expected an example or UnusableRow"


def _hard_values(row: Mapping[str, Any], answers: frozenset[str]) -> Iterator[tuple[str, str, Any]]:
    for column, value in row.items():
        if column in answers:
            continue
        if isinstance(value, str):
            yield from ((f"{what} text", column, text) for what, text in HARD_TEXTS.items())
        elif isinstance(value, (list, tuple)) and value and all(isinstance(one, str) for one in value):
            yield "empty list", column, []
            yield from ((f"{what} text first", column, [text, *value[1:]]) for what, text in HARD_TEXTS.items())


@rule("let only the task's options and the row determine an example, with the right answer and without")
def round_trip(subject: TaskSubject) -> Iterator[str]:
    """A run on the rows has these examples; its folder gives the same answers to rows without right answers."""
    yield from task_round_trip(subject.task, subject.rows, subject.examples, by_row=subject.by_row)


def _prompts(subject: TaskSubject, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The prompts of the rows that can be used."""
    return [example.prompt for example in subject.read(rows) if isinstance(example, Example)]


RULES = (
    reads_its_rows,
    answers_differ,
    deterministic,
    order_does_not_matter,
    label_not_in_prompt,
    fields_as_declared,
    labels_are_indices,
    gold_scores_best,
    hard_texts,
    round_trip,
)
