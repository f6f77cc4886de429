"""Problems that show only when a recipe is carried out, told at the place of the key that they are about."""

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
    """Gives a UserError's problems that name a key of the recipe, and no file, the file, line and column of the key."""
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
