"""The places of problems that appear only while a recipe runs: those of the keys that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..errors import Problem, UserError
from ..plugins import Plugins
from .assemble import assemble
from .document import Document, Location, find_recipe


@contextmanager
def problems_placed(name: str, overrides: Iterable[str], plugins: Plugins) -> Iterator[None]:
    """Add file, line and column to the problems of a UserError that name a key of the recipe but no file."""
    try:
        yield
    except UserError as error:
        if any(problem.key and problem.file is None for problem in error.problems):
            document, _ = assemble(find_recipe(name, plugins.recipes()), overrides)
            raise type(error)([_placed(problem, document) for problem in error.problems]) from error
        raise


def _placed(problem: Problem, document: Document) -> Problem:
    if not problem.key or problem.file is not None:
        return problem
    location: Location = tuple(problem.key.split("."))
    mark = document.place(location).value
    return replace(problem, file=mark.file, line=mark.line, column=mark.column)
