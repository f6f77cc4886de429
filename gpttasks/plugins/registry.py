"""Loaded plugins: their components, extensions and hooks."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import pluggy

from ..answer import AnswerKind
from ..component import Component
from ..data.media import MediaType
from ..errors import PluginError, Problem, did_you_mean, one_line, show_traceback
from ..tasks.extensions import Extensions
from ..tasks.filters import TemplateFilter
from . import hookspecs
from .hookspecs import PROJECT
from .register import Register, imported

_HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_"))
_MARK = f"{PROJECT}_impl"  # the attribute that pluggy's marker sets on a function


@dataclass(frozen=True)
class PluginRecord:
    """One plugin: where it comes from, what it registers, and whether it can be used.

    origin:
        ``core``, ``entry point``, or the path of a file.
    sha256:
        The SHA-256 of the file, for a plugin that is a file.
    registers:
        The names that it registers, by kind, including ``recipe``.
    reason:
        Why it is broken or disabled.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    module: str = ""
    origin: str = ""
    sha256: str | None = None
    registers: dict[str, list[str]] = field(default_factory=dict)
    state: Literal["ok", "broken", "disabled"] = "ok"
    reason: str | None = None

    @property
    def title(self) -> str:
        """For messages: ``plugin 'sarcasm' (gpttasks-sarcasm 1.0, entry point gpttasks_sarcasm)``."""
        if self.distribution is None:
            return f"plugin {self.name!r} ({self.origin or self.module})"
        return f"plugin {self.name!r} ({self.distribution} {self.version}, {self.origin} {self.module})"

    @property
    def package(self) -> str:
        """The top-level package of its module, which an entry point may name as ``package.module:object``."""
        return self.module.partition(":")[0].partition(".")[0].strip()


class Broken(Exception):
    """A plugin that cannot be used; the message is the reason, on one line."""


class Plugins:
    """Plugins and everything that they registered; see :func:`gpttasks.plugins.load_plugins`."""

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._manager = _new_manager()
        self._components: dict[tuple[str, str], type[Component] | str] = {}
        self._recipes: dict[str, Path] = {}
        self._answer_kinds: dict[str, AnswerKind] = {}
        self._owners: dict[tuple[str, str], PluginRecord] = {}
        self.extensions = Extensions()
        """The template filters, file readers and media types that the plugins registered."""

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks of all plugins. Call lifecycle hooks with :meth:`call`, which says which plugin failed."""
        return self._manager.hook

    def register_module(self, module: object, *, origin: str = "", name: str | None = None) -> PluginRecord:
        """Register an imported module, or any object with hook functions.

        Raises PluginError, and registers nothing of it, if anything is wrong with it.
        """
        module_name = getattr(module, "__name__", type(module).__name__)
        record = PluginRecord(name=name or module_name, module=module_name, origin=origin)
        try:
            return self.adopt(record, lambda: module)
        except Broken as broken:
            raise PluginError(f"the {record.title} cannot be used: {broken}") from broken

    def adopt(self, record: PluginRecord, load: Callable[[], object]) -> PluginRecord:
        """Import a plugin, try it on a separate manager, and register it.

        Raises Broken with the reason, and registers nothing of the plugin, if anything is wrong with it.
        """
        register = Register()
        try:
            plugin = load()
            _check_hook_names(plugin)
            trial = _new_manager()
            trial.register(plugin, record.name)
            trial.check_pending()
            trial.hook.gpttasks_register(register=register)
            self._check_clashes(register, record)
        except (Exception, SystemExit) as error:  # the plugin's code may raise anything
            show_traceback(error)
            raise Broken(one_line(error)) from error
        record = replace(record, registers=register.names)
        self._manager.register(plugin, record.name)
        self._components.update(register.components)
        self._recipes.update(register.recipe_files)
        self._answer_kinds.update(register.answer_kinds)
        owner = None if record.distribution == PROJECT else record.title
        self.extensions = self.extensions.with_added(
            replace(extension, owner=owner) for extension in register.extensions.values()
        )
        self._owners.update((key, record) for key in register.keys)
        self.records.append(record)
        return record

    def get(self, kind: str, name: str) -> type[Component]:
        """The component of that kind and name. Raises PluginError if there is none."""
        if (kind, name) not in self._components:
            raise PluginError(self.unknown(kind, name))
        component = self._components[kind, name]
        if isinstance(component, str):  # registered with later()
            try:
                component = self._components[kind, name] = imported(kind, name, component)
            except (PluginError, SystemExit) as error:
                title = self._owners[kind, name].title
                raise PluginError(f"{one_line(error)}; it was registered by the {title}") from error
        return component

    def usable(self, kind: str) -> dict[str, type[Component]]:
        """The components of a kind, by name, without those that cannot be imported."""
        found = {name: self.find(kind, name) for name in self.names(kind)}
        return {name: component for name, component in found.items() if component is not None}

    def find(self, kind: str, name: str) -> type[Component] | None:
        """The component of that kind and name; None if it cannot be used."""
        try:
            return self.get(kind, name)
        except PluginError:
            return None

    def unknown(self, kind: str, name: str) -> Problem:
        """The problem of a name that is not registered, with known names and the unusable plugins that may have it."""
        known = self.names(kind)
        hints = [did_you_mean(name, known), f"known: {', '.join(known) or 'none'}"]
        hints += [
            f"it may be in the {record.title}, which is {record.state}: {record.reason}"
            for record in self.records
            if record.state != "ok"
        ]
        return Problem(f"there is no {kind} {name!r}", hint="; ".join(hint for hint in hints if hint))

    def names(self, kind: str) -> list[str]:
        """The sorted names of everything that is registered under a kind, such as ``task`` or ``recipe``."""
        return sorted(name for registered_kind, name in self._owners if registered_kind == kind)

    def owner(self, kind: str, name: str) -> PluginRecord:
        """The plugin that registered a name. Raises PluginError for an unknown name."""
        if (kind, name) not in self._owners:
            raise PluginError(self.unknown(kind, name))
        return self._owners[kind, name]

    def recipes(self) -> dict[str, Path]:
        """The files of all bundled recipes, by name."""
        return dict(sorted(self._recipes.items()))

    @property
    def answer_kinds(self) -> Mapping[str, AnswerKind]:
        """All kinds of answer, by name."""
        return MappingProxyType(self._answer_kinds)

    def call(self, hook_name: str, **arguments: Any) -> dict[str, BaseException]:
        """Call a lifecycle hook of every plugin, in the order in which the plugins were loaded.

        Returns the errors by the titles of the plugins that raised them; every plugin is called.
        """
        return {record.title: error for record, _, error in self._call_each(hook_name, arguments) if error is not None}

    def collect(
        self, hook_name: str, check: Callable[[Any], Any], **arguments: Any
    ) -> tuple[dict[str, Any], dict[str, BaseException]]:
        """Call a hook that returns something, as :meth:`call` does.

        Returns what ``check`` makes of each plugin's value, by the plugin's name, and the errors by the plugins'
        titles; an error of ``check`` is the plugin's. A plugin that returns None is left out.
        """
        values: dict[str, Any] = {}
        failures: dict[str, BaseException] = {}
        for record, results, error in self._call_each(hook_name, arguments):
            try:
                for value in results:  # pluggy leaves out None
                    values[record.name] = check(value)
            except (TypeError, ValueError) as wrong:
                error = wrong
            if error is not None:
                failures[record.title] = error
        return values, failures

    def _call_each(
        self, hook_name: str, arguments: Mapping[str, Any]
    ) -> Iterator[tuple[PluginRecord, list[Any], BaseException | None]]:
        """For each plugin that can be used, the values that its hook returned, or the error that it raised."""
        everyone = self._manager.get_plugins()
        for record in self.records:
            plugin = self._manager.get_plugin(record.name) if record.state == "ok" else None
            if plugin is None:
                continue
            try:
                yield record, self._manager.subset_hook_caller(hook_name, everyone - {plugin})(**arguments), None
            except (Exception, SystemExit) as error:  # a tracker may raise anything
                show_traceback(error)
                yield record, [], error

    def culprit(self, error: BaseException) -> PluginRecord | None:
        """The third-party plugin whose code raised an error; None if gpttasks or another package did."""
        others = {record.package: record for record in self.records if record.distribution != PROJECT}
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if package in others:
                return others[package]
            if package == PROJECT:
                return None
        return None

    def _check_clashes(self, register: Register, record: PluginRecord) -> None:
        clashes = list(self._extension_clashes(register, record))
        clashes += [
            f"the {kind} {name!r} is already registered by the {self._owners[kind, name].title}"
            for kind, name in register.keys
            if (kind, name) in self._owners
        ]
        clashes += [
            f"it has the name of the {other.title}"
            for other in self.records
            if other.name == record.name and other.state == "ok"
        ]
        if clashes:
            raise PluginError([Problem(clash) for clash in clashes])

    def _extension_clashes(self, register: Register, record: PluginRecord) -> Iterator[str]:
        """Filters that Jinja has, and signatures that another media type has."""
        names = [name for kind, name in register.extensions if kind == TemplateFilter.kind]
        if names and record.distribution != PROJECT:  # importing Jinja takes a tenth of a second
            from jinja2.filters import FILTERS

            yield from (f"the filter {name!r} is a filter of Jinja already" for name in names if name in FILTERS)
        signatures = {
            signature: f"the media type {known.name!r} of {known.owner or 'gpttasks'}"
            for known in self.extensions.media_types.values()
            for signature in known.signatures
        }
        for extension in register.extensions.values():
            if isinstance(extension, MediaType):
                taken = [signatures[one] for one in extension.signatures if one in signatures]
                yield from (f"the media type {extension.name!r} has the signature of {other}" for other in taken)


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _check_hook_names(plugin: object) -> None:
    """Raises PluginError for what pluggy would ignore: misspelt hooks, hooks without the mark, no hook at all."""
    problems = []
    has_hook = False
    for name in dir(plugin):
        value = getattr(plugin, name, None)
        marked = hasattr(value, _MARK)
        has_hook = has_hook or marked
        if isinstance(value, ModuleType) or not callable(value) or not (marked or name.startswith(f"{PROJECT}_")):
            continue
        if name not in _HOOKS:
            problems.append(
                Problem(f"{name} is not a hook", hint=did_you_mean(name, _HOOKS) or f"hooks: {_known_hooks()}")
            )
        elif not marked:
            problems.append(Problem(f"{name} is not marked as a hook", hint=f"write @{PROJECT}.hookimpl above it"))
    if not has_hook and not problems:
        problems.append(Problem("it has no hook function", hint=f"hooks: {_known_hooks()}"))
    if problems:
        raise PluginError(problems)


def _known_hooks() -> str:
    return ", ".join(sorted(_HOOKS))
