"""What all that a plugin registers has in common: a kind, a name and options."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict

KINDS = ("task", "head", "metric", "backbone", "encoder", "adaptation")


class Options(BaseModel):
    """The options of a component: a pydantic model that refuses keys it does not know.

    Subclass it, one annotated field an option, each with a ``description``: it is shown by ``gpttasks show``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class PathMarker:
    """Marks a field as a path; see :data:`RecipePath`."""


RecipePath = Annotated[str, PathMarker()]
"""The type of an option that names a file or folder: a relative one starts at the recipe that names it, or at the
working directory if it was given on the command line."""


class Component:
    """The base of :class:`Task`, :class:`Head`, :class:`Metric`, :class:`Backbone`, :class:`Encoder` and
    :class:`Adaptation`. A subclass gives ``name``, and ``Options`` if it has any.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    Options: ClassVar[type[Options]] = Options

    options: Any

    def __init__(self, options: BaseModel | None = None) -> None:
        self.options = self.Options() if options is None else options
