"""Pydantic's errors as problems of a recipe: with their places, merged, and in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..errors import Problem, did_you_mean
from ..tasks.extensions import with_known_suffixes
from .document import Document, Location
from .foreign_names import key_hint

# What was expected, by the type of pydantic's error; {names} are filled from its context.
_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_WRONG_TYPE = re.compile(r"(int|float|bool|string|list|tuple|set|frozen_set|dict|model)_(type|parsing|attributes_type)")


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, prefix: Location, data: Any
) -> list[Problem]:
    """One problem for each location in ``error``.

    ``data`` is the input of ``model``, and ``prefix`` its location in the document.
    """
    details_at: dict[Location, list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        details_at.setdefault(_location(detail, data), []).append(dict(detail))
    problems = []
    for location, details in details_at.items():
        deeper = any(other[: len(location)] == location != other for other in details_at)
        # The errors inside the best-fitting member of a union suffice; those of its other members are left out.
        if deeper and all(_WRONG_TYPE.fullmatch(detail["type"]) for detail in details):
            continue
        problems.append(_problem(details, model, document, prefix, location))
    return problems


def unknown_keys(document: Document, location: Location, keys: Iterable[Any], known: Iterable[str]) -> list[Problem]:
    """A problem for each of the ``keys`` of the mapping at ``location`` that is not in ``known``."""
    known = list(known)
    return [_unknown_key(document, (*location, key), known) for key in keys if key not in known]


def option_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model's fields, as a recipe has them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def show(value: Any) -> str:
    """A value in the syntax of a recipe, shortened to fit a message."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _location(detail: Any, data: Any) -> Location:
    """The location of an error in the data: pydantic's path without the names of union members."""
    location: Location = ()
    for part in detail["loc"]:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]
            location = (*location, part)
    return (*location, detail["loc"][-1]) if detail["type"] == "missing" else location


def _problem(
    details: list[Mapping[str, Any]], model: type[BaseModel], document: Document, prefix: Location, location: Location
) -> Problem:
    first = details[0]
    place = (*prefix, *location)
    if first["type"] == "extra_forbidden":
        inner = _model_at(model, location[:-1])
        now = None if inner is None else getattr(inner, "former_keys", {}).get(location[-1])
        if now is not None:
            return document.problem(f"unknown key: it is called {now!r} now", place, at_key=True)
        return _unknown_key(document, place, [] if inner is None else option_keys(inner))
    if first["type"] == "missing":
        return missing(document, place, _description(model, location))
    if first["type"] == "value_error":
        return _value_problem(str(first["ctx"]["error"]), document, place)
    expected = list(dict.fromkeys(_expected(detail) for detail in details))
    value = first["input"]
    allowed = re.findall(r"'([^']*)'", first.get("ctx", {}).get("expected", ""))
    hint = did_you_mean(value, allowed) if isinstance(value, str) else None
    return document.problem(f"got {show(value)}, expected {' or '.join(expected)}", place, hint=hint)


def missing(document: Document, location: Location, description: str | None = None) -> Problem:
    """A missing required key, reported at the key of the mapping that should hold it."""
    return document.problem("is missing", location, hint=description, at_key=True)


def _unknown_key(document: Document, location: Location, known: list[str]) -> Problem:
    known_keys = f"known keys: {', '.join(known)}" if known else "it has no options"
    key = str(location[-1])
    hint = key_hint(key) or did_you_mean(key, known) or known_keys
    return document.problem("unknown key", location, hint=hint, at_key=True)


def _value_problem(message: str, document: Document, location: Location) -> Problem:
    """An error of a validator. The message of a validator of a whole model begins with the key that it is about."""
    key, colon, rest = message.partition(": ")
    inner = (*location, *key.split("."))
    if colon and inner in document.places:
        return document.problem(rest, inner)
    return document.problem(message, location)


def _expected(detail: Mapping[str, Any]) -> str:
    if detail["type"] in _EXPECTED:
        limits = {
            name: f"{value:g}" if isinstance(value, float) else value for name, value in detail.get("ctx", {}).items()
        }
        return _EXPECTED[detail["type"]].format(**limits)
    return str(detail["msg"])


def _description(model: type[BaseModel], location: Location) -> str | None:
    inner = _model_at(model, location[:-1])
    fields = {} if inner is None else {field.alias or name: field for name, field in inner.model_fields.items()}
    field = fields.get(str(location[-1]))
    return f"expected {with_known_suffixes(field.description)}" if field is not None and field.description else None


def _model_at(model: type[BaseModel] | None, location: Location) -> type[BaseModel] | None:
    """The model of the mapping at ``location`` below ``model``; None unless there is exactly one."""
    for part in location:
        if model is None or isinstance(part, int):
            return None
        annotations = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        candidates = (annotations.get(part), *get_args(annotations.get(part)))
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        model = models[0] if len(models) == 1 else None
    return model
