"""The argument of a plugin's ``gpttasks_register``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..answer import AnswerKind
from ..component import KINDS, Component, Options
from ..data.media import MediaType
from ..data.readers import FileReader, RowReader
from ..declarations import check_class
from ..errors import PluginError
from ..example import renamed_field
from ..tasks.extensions import Extension
from ..tasks.filters import TemplateFilter

RECIPE = "recipe"
"""The kind of recipes, in addition to :data:`gpttasks.component.KINDS`."""

ANSWER_KIND = "answer kind"
"""The kind under which an :class:`gpttasks.AnswerKind` is registered."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EXPECTED_NAME = "expected lower-case letters, digits, - and _, beginning with a letter or digit"
_PLACE = re.compile(r"[\w.]+:\w+")
_FILTER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SUFFIX = re.compile(r"\.[a-z0-9_-]+")
_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*")

# Keys that belong to the core where a component's options are written, by kind.
_RESERVED = {"task": {"use", "data"}, "metric": {"use", "as", "baseline"}}


class Register:
    """Collects what one plugin registers; each method raises PluginError for a value that cannot be registered."""

    def __init__(self) -> None:
        self.components: dict[tuple[str, str], type[Component] | str] = {}
        self.recipe_files: dict[str, Path] = {}
        self.answer_kinds: dict[str, AnswerKind] = {}
        self.extensions: dict[tuple[str, str], Extension] = {}

    def task(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Task`."""
        self._add("task", component)

    def head(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Head`."""
        self._add("head", component)

    def metric(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Metric`."""
        self._add("metric", component)

    def backbone(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Backbone`."""
        self._add("backbone", component)

    def encoder(self, component: type[Component]) -> None:
        """Register an encoder: a component of kind ``encoder``."""
        self._add("encoder", component)

    def adaptation(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Adaptation`."""
        self._add("adaptation", component)

    def baseline(self, component: type[Component]) -> None:
        """Register a subclass of :class:`gpttasks.Baseline`."""
        self._add("baseline", component)

    def answer_kind(self, kind: AnswerKind) -> None:
        """Register a kind of answer, which heads may then give and metrics take."""
        if not isinstance(kind, AnswerKind):
            raise PluginError(f"register.answer_kind: got {kind!r}, expected a gpttasks.AnswerKind")
        if not isinstance(kind.name, str) or not _NAME.fullmatch(kind.name):
            raise PluginError(f"the answer kind has the name {kind.name!r}, {_EXPECTED_NAME}")
        _check_functions(kind)
        if kind.name in self.answer_kinds:
            raise PluginError(f"the answer kind {kind.name!r} is registered twice by the same plugin")
        self.answer_kinds[kind.name] = kind

    def template_filter(self, name: str, function: Callable[..., object]) -> None:
        """Register a filter of templates: ``{{ value | name }}`` calls ``function(value)``.

        The function must be pure: the same arguments give the same result. It raises :class:`gpttasks.UnusableRow` for
        a value that it cannot use; any other error is reported as an error of the plugin.
        """
        if not isinstance(name, str) or not _FILTER_NAME.fullmatch(name):
            raise PluginError(
                f"register.template_filter: got the name {name!r}, "
                "expected lower-case letters, digits and _, beginning with a letter or _"
            )
        if not callable(function):
            raise PluginError(f"register.template_filter: the filter {name!r} is {function!r}, expected a function")
        if hasattr(function, "jinja_pass_arg"):
            raise PluginError(
                f"register.template_filter: the filter {name!r} asks for Jinja's context or environment; "
                "a filter depends on its arguments only"
            )
        self._put_extension(TemplateFilter(name, function))

    def reader(self, suffix: str, function: RowReader) -> None:
        """Register a reader of data files: ``function(path)`` yields a :class:`gpttasks.Row` per row of the file.

        suffix:
            Such as ``.conll``, in lower case. Of ``data.tar.gz`` the suffix is ``.gz``.

        A row gets the ``line`` where it begins, or a ``place`` such as ``sentence 3``; without both, rows are counted.
        The function raises :class:`gpttasks.DataError` for a file that it cannot read.
        """
        if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
            raise PluginError(
                f"register.reader: got the suffix {suffix!r}, expected a dot and lower-case letters, such as .conll"
            )
        if not callable(function):
            raise PluginError(f"register.reader: the reader {suffix!r} is {function!r}, expected a function")
        self._put_extension(FileReader(suffix, function))

    def media_type(self, name: str, *signatures: bytes | Mapping[int, bytes]) -> None:
        """Register a media type, so that the filter ``media`` recognises its files.

        name:
            The MIME type, such as ``image/webp``. An encoder names the part before the slash in ``reads``.
        signatures:
            The bytes with which a file begins, or bytes by their offsets in the file:
            ``{0: b"RIFF", 8: b"WEBP"}``. A file needs to match one of the signatures; the longest match wins.
        """
        if not isinstance(name, str) or not _MIME_TYPE.fullmatch(name):
            raise PluginError(f"register.media_type: got {name!r}, expected a MIME type such as image/webp")
        checked = tuple(_checked_signature(name, signature) for signature in signatures)
        if not checked:
            raise PluginError(f"register.media_type: {name!r} has no signature, expected one or more")
        self._put_extension(MediaType(name, checked))

    def later(self, kind: str, name: str, where: str) -> None:
        """Register the component at ``where``, such as ``gpttasks_sarcasm.task:Sarcasm``; ``name`` must be its name.

        It is imported when a recipe or a list first names it: use this for components that take long to import.
        """
        if kind not in KINDS:
            raise PluginError(f"register.later: got the kind {kind!r}, expected one of {', '.join(KINDS)}")
        if not _NAME.fullmatch(name) or not _PLACE.fullmatch(where):
            raise PluginError(f"register.later: got {name!r} and {where!r}, expected a name and package.module:Class")
        self._put(kind, name, where)

    def recipes(self, folder: Path | str) -> None:
        """Register every ``NAME.yaml`` in ``folder`` as the recipe NAME."""
        folder = Path(folder)
        if not folder.is_dir():
            raise PluginError(f"recipes: the folder {folder} does not exist")
        files = sorted(folder.glob("*.yaml"))
        if not files:
            raise PluginError(f"recipes: the folder {folder} has no .yaml file")
        for path in files:
            if path.stem in self.recipe_files:
                raise PluginError(
                    f"the recipe {path.stem!r} is registered twice: {self.recipe_files[path.stem]}, {path}"
                )
            self.recipe_files[path.stem] = path

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(kind, name) of everything that is registered."""
        kinds = ((ANSWER_KIND, name) for name in self.answer_kinds)
        return [*self.components, *((RECIPE, name) for name in self.recipe_files), *kinds, *self.extensions]

    @property
    def names(self) -> dict[str, list[str]]:
        """The sorted names of everything that is registered, by kind."""
        names: dict[str, list[str]] = {}
        for kind, name in sorted(self.keys):
            names.setdefault(kind, []).append(name)
        return names

    def _add(self, kind: str, component: Any) -> None:
        self._put(kind, checked_name(kind, component), component)

    def _put(self, kind: str, name: str, component: type[Component] | str) -> None:
        if (kind, name) in self.components:
            raise PluginError(f"the {kind} {name!r} is registered twice by the same plugin")
        self.components[kind, name] = component

    def _put_extension(self, extension: Extension) -> None:
        key = (extension.kind, extension.name)
        if key in self.extensions:
            raise PluginError(f"the {extension.kind} {extension.name!r} is registered twice by the same plugin")
        self.extensions[key] = extension


def _check_functions(kind: AnswerKind) -> None:
    """Raises PluginError for a field of an answer kind that is not a function, or has another wrong type."""
    for name in ("store", "load", "show", "same", "fits", "right", "drawn"):
        value = getattr(kind, name)
        if not callable(value) and not (value is None and name in ("right", "drawn")):
            raise PluginError(f"the answer kind {kind.name!r} has {name} = {value!r}, expected a function")
    if not isinstance(kind.measures, bool):
        raise PluginError(f"the answer kind {kind.name!r} has measures = {kind.measures!r}, expected True or False")
    if not isinstance(kind.description, str):
        raise PluginError(f"the answer kind {kind.name!r} has description = {kind.description!r}, expected a string")


def _checked_signature(name: str, signature: Any) -> tuple[tuple[int, bytes], ...]:
    """A signature as pairs of an offset and bytes. Raises PluginError if it is not one."""
    pairs = list(signature.items()) if isinstance(signature, Mapping) else [(0, signature)]
    if not pairs or not all(
        isinstance(offset, int) and offset >= 0 and isinstance(value, bytes) and value for offset, value in pairs
    ):
        raise PluginError(
            f"register.media_type: {name!r} has the signature {signature!r}, "
            "expected bytes, or a mapping from offsets to bytes"
        )
    return tuple(sorted(pairs))


def imported(kind: str, name: str, where: str) -> type[Component]:
    """Import a component that was registered with ``later``. Raises PluginError if it has another name or kind."""
    module, _, attribute = where.partition(":")
    try:
        component = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the plugin's own code raises
        raise PluginError(f"the {kind} {name!r} cannot be imported from {where}: {error}") from error
    if checked_name(kind, component) != name:
        raise PluginError(f"the {kind} {component.name!r} was registered as {name!r}")
    checked: type[Component] = component
    return checked


def checked_name(kind: str, component: Any) -> str:
    """The name of a component. Raises PluginError if it has another kind, or unusable options."""
    if not (inspect.isclass(component) and issubclass(component, Component)):
        raise PluginError(
            f"register.{kind}: got {component!r}, expected a class derived from gpttasks.{kind.capitalize()}"
        )
    component_kind = getattr(component, "kind", None)
    if component_kind != kind:
        raise PluginError(f"register.{kind}: got {component.__name__}, whose kind is {component_kind!r}")
    name = getattr(component, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(f"the {kind} {component.__name__} has the name {name!r}, {_EXPECTED_NAME}")
    _check_fields(kind, name, component)
    check_class(component)
    _check_options(kind, name, component.Options)
    return name


def _check_fields(kind: str, name: str, component: type[Component]) -> None:
    """Raises PluginError where a class attribute names a field that examples had once."""
    for attribute in ("fields", "needs", "trains_on"):
        names = getattr(component, attribute, None)
        if isinstance(names, (set, frozenset)) and (renamed := renamed_field(names)) is not None:
            raise PluginError(f"the {kind} {name!r} has {attribute} = {sorted(names)}, but {renamed}")


def _check_options(kind: str, name: str, options: Any) -> None:
    if not (inspect.isclass(options) and issubclass(options, Options)):
        raise PluginError(
            f"the {kind} {name!r} has Options = {options!r}, expected a class derived from gpttasks.Options"
        )
    if not isinstance(options.former_keys, Mapping):
        raise PluginError(
            f"the {kind} {name!r} has Options.former_keys = {options.former_keys!r}, "
            "expected a mapping from former names of options to their present names"
        )
    if options.model_config.get("extra") != "forbid":
        raise PluginError(f"the {kind} {name!r} has Options that allow unknown keys; remove extra=...")
    keys = {field.alias or key for key, field in options.model_fields.items()}
    taken = sorted(keys & _RESERVED.get(kind, {"use"}))
    if taken:
        raise PluginError(f"the {kind} {name!r} has the option {taken[0]!r}, a key that is reserved for recipes")
