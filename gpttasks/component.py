"""What all that a plugin registers has in common: a kind, a name and options."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from typing_extensions import Self

KINDS = ("task", "head", "metric", "backbone", "encoder", "adaptation", "baseline")


class Options(BaseModel):
    """The options of a component: a pydantic model that refuses keys it does not know and values of another type.

    No number and no truth value is made of anything else: ``true`` is no number, ``"3"`` no integer. Subclass it, one
    annotated field an option, each with a ``description``: it is shown by ``gpttasks show``.

    former_keys:
        the keys that options had under another name, and their names now: a recipe that still has one is told so.
    """

    former_keys: ClassVar[Mapping[str, str]] = MappingProxyType({})
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def _numbers_as_they_are(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # Not pydantic's strict mode: that refuses a list for a tuple, and YAML has lists only.
        made = handler(data)
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if isinstance(data, Mapping) and key in data and _is_converted(data[key], getattr(made, name)):
                raise ValueError(
                    f"{key}: got {data[key]!r}, which would be read as {getattr(made, name)!r}; write that"
                )
        return made


def _is_converted(given: Any, made: Any) -> bool:
    """Whether a number or a truth value was made of something else, an integer for a float excepted."""
    if isinstance(made, (bool, int, float)):
        return type(given) is not type(made) and not (type(given) is int and type(made) is float)
    if isinstance(made, (list, tuple)) and isinstance(given, (list, tuple)):
        return any(_is_converted(*pair) for pair in zip(given, made, strict=False))
    if isinstance(made, dict) and isinstance(given, dict):
        return any(_is_converted(given[key], value) for key, value in made.items() if key in given)
    return False


class PathMarker:
    """Marks a field as a path; see :data:`RecipePath`."""


RecipePath = Annotated[str, PathMarker()]
"""The type of an option that names a file or folder: a relative one starts at the recipe that names it, or at the
working directory if it was given on the command line."""


class Component:
    """The base of :class:`Task`, :class:`Head`, :class:`Metric`, :class:`Backbone`, :class:`Encoder`,
    :class:`Adaptation` and :class:`Baseline`. A subclass gives ``name``, and ``Options`` if it has any.

    sample_options:
        the options with which the conformance kit (``pytest --gpttasks``) checks it; needed where one has no default.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    sample_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    options: Any

    def __init__(self, options: BaseModel | None = None) -> None:
        self.options = self.Options() if options is None else options
