"""The row of data behind an example, for messages about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..data.rows import Row
from ..errors import GpttasksError, Problem
from ..example import Example
from ..tasks.reading import ExampleReader
from ..tasks.splits import ExampleSet, source_of
from .parts import RunParts


def find_row(parts: RunParts, part: ExampleSet, example: Example) -> Row | None:
    """The row of an example, found by reading the split again; None for data that can be read only once."""
    if parts.rows:
        return parts.rows[part.examples.index(example)]
    last: list[Row] = []

    def remembered(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            last[:] = [row]
            yield row

    try:
        source = source_of(parts.task, parts.recipe.data)
        reader = ExampleReader(parts.task, parts.recipe.data)
        examples = reader.read(remembered(iter(source.rows(part.split))))
        return next((last[0] for other in examples if other.id == example.id), None)
    except GpttasksError:  # standard input, or a stream
        return None


def placed_problem(parts: RunParts, part: ExampleSet, example: Example, problem: Problem, prefix: str) -> Problem:
    """A problem with an example, at its row's file and line; ``prefix`` comes before the message.

    Without a row the message names the example by its id.
    """
    row = find_row(parts, part, example)
    message = problem.message if example.id in problem.message else f"example {example.id}: {problem.message}"
    if row is None:
        return replace(problem, message=prefix + message)
    if row.line is None:
        message = f"{row.place}: {message}"
    return Problem(prefix + message, file=row.file, line=row.line, hint=problem.hint)
