"""The whole document of a recipe: its file, its task file if it names one, and the overrides."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Problem, RecipeError
from .document import Document, IncompleteDocument, Location, read_document
from .overrides import COMMAND_LINE, apply_overrides

TASK_FILE_SUFFIXES = (".yaml", ".yml")


def assemble(path: Path, overrides: Iterable[str] = ()) -> tuple[Document, list[Problem]]:
    """The whole document, as far as it could be read, and the problems of the rest.

    Raises RecipeError if nothing could be read.
    """
    problems: list[Problem] = []
    overrides = tuple(overrides)

    def as_far_as_possible(step: Callable[[], Document]) -> Document:
        try:
            return step()
        except IncompleteDocument as error:
            problems.extend(error.problems)
            return error.document

    document = as_far_as_possible(lambda: read_document(path))
    if not any(_names_another_task(override) for override in overrides):
        document = as_far_as_possible(lambda: with_task_file(document))
    document = as_far_as_possible(lambda: apply_overrides(document, overrides))
    return as_far_as_possible(lambda: with_task_file(document)), problems


def _names_another_task(override: str) -> bool:
    """Whether an override replaces the task, or the task file, of the recipe."""
    key, _, value = override.partition("=")
    return key == "task" or (key == "task.use" and value.strip(" '\"").lower().endswith(TASK_FILE_SUFFIXES))


def task_file_location(document: Document) -> Location | None:
    """The location where the document names a task file; None if it does not."""
    task = document.data.get("task")
    name, location = (task.get("use"), ("task", "use")) if isinstance(task, dict) else (task, ("task",))
    return location if isinstance(name, str) and name.lower().endswith(TASK_FILE_SUFFIXES) else None


def with_task_file(document: Document) -> Document:
    """The document with the content of the task file that it names in ``task``; unchanged if it names none.

    The file holds the keys of a task, or one key ``task`` with them. Keys beside ``use`` in the recipe replace those of
    the file; those of ``data`` are replaced one by one. Paths in the file start at the folder of the file.

    Raises IncompleteDocument, with the rest of the recipe, for a file that cannot be read or is not a task.
    """
    location = task_file_location(document)
    if location is None:
        return document
    inner, outer, problems = _task_of(document, location)
    in_file: dict[Any, Any] = inner.data["task"] if outer else inner.data
    task = document.data["task"]
    in_recipe = {key: value for key, value in task.items() if key != "use"} if isinstance(task, dict) else {}
    data = copy.deepcopy(document.data)
    data["task"] = {**in_file, **in_recipe}
    if isinstance(in_file.get("data"), dict) and isinstance(in_recipe.get("data"), dict):
        data["task"]["data"] = {**in_file["data"], **in_recipe["data"]}
    places = dict(document.places)
    for where, place in inner.places.items():
        if where[: len(outer)] == outer and where != outer:
            here = ("task", *where[len(outer) :])
            if here not in places or here == ("task", "use"):
                places[here] = place
    whole = replace(document, data=data, places=places)
    if problems:
        raise IncompleteDocument(problems, whole)
    return whole


def _task_of(document: Document, location: Location) -> tuple[Document, Location, list[Problem]]:
    """The task file named at ``location``, the location of the task in it (the whole, or one key), and its problems.

    Raises IncompleteDocument, with the rest of the recipe, if the file holds no usable task.
    """
    named = document.data["task"]["use"] if len(location) > 1 else document.data["task"]
    place = document.place(location)
    file = Path(place.base, Path(named).expanduser())
    problems: list[Problem] = []
    if not file.is_file():
        hint = f"its path starts at {'the working directory' if place.value.file == COMMAND_LINE else 'this file'}"
        raise _without_task(document, [document.problem(f"the task file {file} does not exist", location, hint=hint)])
    try:
        inner = read_document(file)
    except IncompleteDocument as error:
        inner = error.document
        problems += error.problems
    except RecipeError as error:
        raise _without_task(document, error.problems) from error
    outer: Location = ("task",) if len(inner.data) == 1 and isinstance(inner.data.get("task"), dict) else ()
    use = (inner.data["task"] if outer else inner.data).get("use")
    if not isinstance(use, str) or use.lower().endswith(TASK_FILE_SUFFIXES):
        message = f"got use: {use!r} in a task file, expected the name of a task"
        hint = "write use: classification, for instance"
        raise _without_task(document, [*problems, inner.problem(message, (*outer, "use"), hint=hint)])
    return inner, outer, problems


def _without_task(document: Document, problems: Iterable[Problem]) -> RecipeError:
    """The error for a task that could not be read, with the rest of the recipe, which is still checked."""
    rest = {key: value for key, value in document.data.items() if key != "task"}
    return IncompleteDocument(problems, replace(document, data=rest, unread=document.unread | {"task"}))
