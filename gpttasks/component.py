"""The base class of components: a kind, a name and options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, PrivateAttr, model_validator
from typing_extensions import Self

from .trust import OWN_CODE, CodeOrigin

if TYPE_CHECKING:
    from .declarations import Declaration

KINDS = ("task", "head", "metric", "backbone", "encoder", "adaptation", "baseline")


class Options(BaseModel):
    """The options of a component: a pydantic model that rejects unknown keys and values of the wrong type.

    Numbers and booleans are not converted: ``true`` is not a number, and ``"3"`` is not an integer. Numbers are finite,
    and integers have at most 64 bits. A subclass has one
    annotated field per option, with a ``description`` that ``gpttasks show`` prints.

    former_keys:
        Former names of keys, with their present names: the message about a recipe with a former name gives the new one.
    """

    former_keys: ClassVar[Mapping[str, str]] = MappingProxyType({})
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True, allow_inf_nan=False)

    _code_origin: CodeOrigin = PrivateAttr(OWN_CODE)

    @model_validator(mode="wrap")
    @classmethod
    def _no_conversion(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # Not pydantic's strict mode, which rejects a list for a tuple: YAML has only lists.
        options = handler(data)
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if isinstance(data, Mapping) and key in data and _is_beyond_sense(data[key]):
                raise ValueError(f"{key}: got an integer of more than 64 bits, expected fewer digits")
            if isinstance(data, Mapping) and key in data and _is_converted(data[key], getattr(options, name)):
                raise ValueError(f"{key}: got {data[key]!r}, which is not converted; write {getattr(options, name)!r}")
        return options


AnyOptions = TypeVar("AnyOptions", bound=Options)


def with_origin(options: AnyOptions, origin: CodeOrigin) -> AnyOptions:
    """A copy of options that were written at ``origin``."""
    copied = options.model_copy()
    copied._code_origin = origin
    return copied


def origin_of(options: Any) -> CodeOrigin:
    """Where a component's options were written; the user's own for a model that is no :class:`Options`."""
    return options._code_origin if isinstance(options, Options) else OWN_CODE


def _is_converted(raw: Any, value: Any) -> bool:
    """Whether pydantic has converted a number or boolean in ``raw`` to ``value``. An int may become a float."""
    if isinstance(value, (bool, int, float)):
        return type(raw) is not type(value) and not (type(raw) is int and type(value) is float)
    if isinstance(value, (list, tuple)) and isinstance(raw, (list, tuple)):
        return any(_is_converted(*pair) for pair in zip(raw, value, strict=False))
    if isinstance(value, dict) and isinstance(raw, dict):
        return any(_is_converted(raw[key], inner) for key, inner in value.items() if key in raw)
    return False


def _is_beyond_sense(value: Any) -> bool:
    """Whether there is an integer that no library can read as a number of 64 bits."""
    if isinstance(value, (list, tuple)):
        return any(map(_is_beyond_sense, value))
    if isinstance(value, dict):
        return any(map(_is_beyond_sense, value.values()))
    return isinstance(value, int) and abs(value) >= 2**63


class PathMarker:
    """Marks the type of a field as a path; see :data:`RecipePath`."""


RecipePath = Annotated[str, PathMarker()]
"""The type of an option for a file or folder. A relative path starts at the folder of the recipe or, if it is given on
the command line, at the working directory."""


class Component:
    """The base of :class:`Task`, :class:`Head`, :class:`Metric`, :class:`Backbone`, :class:`Encoder`,
    :class:`Adaptation` and :class:`Baseline`. A subclass sets ``name``, and ``Options`` if it has any.

    sample_options:
        The options with which the conformance kit (``pytest --gpttasks``) checks the component; required if an option
        has no default.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    sample_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    declarations: ClassVar[Mapping[str, Declaration]] = MappingProxyType({})
    """What each declared attribute must hold; the base class of a kind sets it. See :mod:`gpttasks.declarations`."""
    required_methods: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """A component must define at least one method of each tuple; the base class of a kind sets them."""

    options: Any

    def __init__(self, options: BaseModel | None = None) -> None:
        self.options = self.Options() if options is None else options

    def announce_code(self, code: Path | str, named_by: str) -> None:
        """Call this before Python code that an option names is imported: a file, or a module by its name.

        The code is listed on stderr. ``named_by`` says where it is named, as messages put it. Raises UserError if the
        code came with a run folder, unless the user trusts it (``--trust-code``).
        """
        origin_of(self.options).announce(code, named_by)
