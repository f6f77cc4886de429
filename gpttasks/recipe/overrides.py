"""Overrides: ``KEY=VALUE`` from the command line, applied to a document."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Problem, RecipeError
from .document import Document, IncompleteDocument, Location, Mark, Place, dotted, parse_value

COMMAND_LINE = "command line"

# Where a component may be given by its name alone; a metric is one level below the list.
_SHORT_FORMS = {("backbone",), ("task",), ("head",), ("adapt",)}
_METRICS = ("score", "metrics")

_HINT = "write KEY=VALUE, such as train.epochs=2 or score.limit=null"


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """A new document with each ``KEY=VALUE`` applied, in order.

    KEY is a dotted path in which a number is the index of a list entry, from 0; VALUE is YAML. A key below a component
    that is given by its name (``adapt: lora`` and ``adapt.rank=4``) makes it ``{use: lora, rank: 4}``. Relative paths
    in values start at the working directory.

    Raises RecipeError with every override that cannot be read or applied.
    """
    data = copy.deepcopy(document.data)
    places = dict(document.places)
    base = Path.cwd()
    problems: list[Problem] = []
    seen: set[str] = set()
    for override in overrides:
        try:
            key, text = _split(override)
            if key in seen:
                raise _refusal("appears twice on the command line", key)
            seen.add(key)
            holder, location = _find_holder(data, places, key, base)
            value, value_places = parse_value(text, base, location, COMMAND_LINE)
        except RecipeError as error:
            problems += error.problems
            continue
        holder[location[-1]] = value
        for below in [other for other in places if other[: len(location)] == location]:
            del places[below]
        places.update(value_places)
    changed = replace(document, data=data, places=places)
    if problems:
        raise IncompleteDocument(problems, changed)
    return changed


def _split(override: str) -> tuple[str, str]:
    key, equals, text = override.partition("=")
    if not equals or not all(part.strip() == part != "" for part in key.split(".")):
        raise RecipeError(Problem(f"got {override!r}, expected KEY=VALUE", COMMAND_LINE, hint=_HINT))
    if not text.strip():
        raise _refusal(
            "there is no value after =", key, f"write {key}=null for no value, {key}='\"\"' for an empty text"
        )
    # In YAML a lone dash begins a list; here it means standard input.
    return key, '"-"' if text == "-" else text


def _find_holder(data: Any, places: dict[Location, Place], key: str, base: Path) -> tuple[Any, Location]:
    """The dict or list that holds the last part of a key, created if needed, and the location of the key."""
    mark = Mark(COMMAND_LINE)
    holder: Any = data
    location: Location = ()
    *parents, last = key.split(".")
    for part in parents:
        step = _step(holder, part, location, key)
        location = (*location, step)
        child = holder.get(step) if isinstance(holder, dict) else holder[step]
        if child is None:
            child = {}
            places[location] = Place(mark, mark, base)
        elif isinstance(child, str) and (location in _SHORT_FORMS or location[:-1] == _METRICS):
            child = {"use": child}
            name_location: Location = (*location, "use")
            places[name_location] = places[location]
        elif not isinstance(child, (dict, list)):
            raise _refusal(f"{dotted(location)} is {child!r}, which has no keys below it", key)
        holder[step] = child
        holder = child
    return holder, (*location, _step(holder, last, location, key))


def _step(holder: Any, part: str, location: Location, key: str) -> str | int:
    if isinstance(holder, list):
        if not part.isdecimal() or int(part) >= len(holder):
            allowed = f"a number from 0 to {len(holder) - 1}" if holder else "none: the list is empty"
            raise _refusal(f"got {part!r} as an entry of the list {dotted(location)}, expected {allowed}", key)
        return int(part)
    if part not in holder and part.isdecimal() and int(part) in holder:
        return int(part)
    return part


def _refusal(message: str, key: str, hint: str | None = None) -> RecipeError:
    return RecipeError(Problem(message, COMMAND_LINE, key=key, hint=hint))
