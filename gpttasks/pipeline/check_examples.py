"""Checks that the examples can be trained on, asked about and scored, before anything is loaded or trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import DataError, Problem
from ..example import Example
from ..heads.base import Head
from ..tasks.splits import ExampleSet
from .find_row import placed_problem
from .parts import RunParts


@dataclass(frozen=True)
class _Check:
    """One check by a component, for all examples of a set; ``component`` and ``action`` are for the message."""

    part: ExampleSet
    component: str
    action: str
    check: Callable[[Example], None]


def check_examples(parts: RunParts) -> None:
    """Call the checks of head and metrics for each example that is trained on, tuned on or scored, and draw the shots.

    Raises DataError with one problem for each component and set: the number of examples that the component refuses, and
    the first of them with its id and the place of its row. A problem with a recipe key is raised at once.
    """
    problems = [problem for check in _checks(parts) if (problem := _problem(parts, check)) is not None]
    if problems:
        raise DataError(problems)
    if parts.shots is not None:
        for example in parts.scored:
            parts.shots.draw(example, parts.recipe.score.shots)


def _checks(parts: RunParts) -> Iterator[_Check]:
    head, train = parts.head, parts.recipe.train
    component = f"head {head.name!r}"
    yield from _scoring(parts, parts.sets[parts.scored_role])
    if parts.adaptation.trains and train is not None:
        yield _Check(parts.sets["train"], component, "be trained on", _head_check(parts, head.check_to_train))
        validation = parts.sets.get("validation")
        if validation is not None and train.validate_ is not None:
            yield from _scoring(parts, validation)
        if validation is not None and head.tunes:
            yield _Check(validation, component, "be tuned on", _head_check(parts, head.check_to_tune))
    elif parts.tunes_without_training:
        yield _Check(parts.sets["train"], component, "be tuned on", _head_check(parts, head.check_to_tune))


def _scoring(parts: RunParts, part: ExampleSet) -> Iterator[_Check]:
    """The checks of examples that are answered and scored."""
    yield _Check(part, f"head {parts.head.name!r}", "answer", _head_check(parts))
    for key, metric in parts.metrics.items():
        component = f"metric {metric.name!r}" + ("" if key == metric.name else f" ({key})")
        yield _Check(part, component, "score", metric.check)


def _head_check(parts: RunParts, more: Callable[[Example], None] | None = None) -> Callable[[Example], None]:
    """The head's checks of every example, followed by ``more``."""

    def check(example: Example) -> None:
        _check_contexts(parts.head, example)
        parts.head.check(example)
        if more is not None:
            more(example)

    return check


def _check_contexts(head: Head, example: Example) -> None:
    """Raises DataError for an example with contexts if the head would ignore them."""
    if example.contexts and "contexts" not in head.needs | head.optional | head.trains_on:
        raise DataError(
            f"example {example.id} has {len(example.contexts)} contexts, but head {head.name!r} reads one prompt",
            hint="choose a head that names contexts in needs or optional",
        )


def _problem(parts: RunParts, check: _Check) -> Problem | None:
    """The number of refused examples of the set, and the first of them; None if none is refused."""
    refused = [(example, problem) for example in check.part.examples if (problem := _refusal(check, example))]
    if not refused:
        return None
    share = f"{len(refused)} of {len(check.part.examples)} examples of {check.part.split}"
    prefix = f"{check.component} cannot {check.action} {share}; the first: "
    prefix = f"{check.component} cannot {check.action} the row: " if parts.rows else prefix
    return placed_problem(parts, check.part, *refused[0], prefix)


def _refusal(check: _Check, example: Example) -> Problem | None:
    """Why the example is refused; None if it is not."""
    try:
        check.check(example)
    except DataError as error:
        if any(problem.key is not None for problem in error.problems):
            raise
        return error.problems[0]
    return None
