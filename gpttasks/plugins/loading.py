"""Finds and loads plugins: first the core, then entry points (the bundled ones first), then files."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType

from ..errors import PluginError, Problem, did_you_mean, one_line
from ..hashing import file_digest, text_digest
from ..interrupts import raise_if_pressed
from ..terminal import say
from .from_source import SourceLoader, executed_digest, load_from_source
from .hookspecs import PROJECT
from .registry import Broken, PluginRecord, Plugins

VARIABLE = "GPTTASKS_PLUGINS"
"""The environment variable that restricts the entry points: unset loads all, ``""`` none, ``"a,b"`` only these,
``"-a,-b"`` all but these. The core is always loaded."""

CORE = "gpttasks.builtin"

FILE_MODULE = "gpttasks_file_"
"""The prefix of the names of modules that are loaded from plugin files."""

_ON_GPTTASKS = re.compile(rf"{PROJECT}\s*([\[(<>=!~;@]|$)", re.IGNORECASE)
"""Matches the requirements of a distribution on gpttasks."""
_AT_LEAST = frozenset((">=", ">", "~=", "=="))
"""The operators of requirements for which this version can be too old."""

_loaded: dict[object, Plugins] = {}


def load_plugins(files: Sequence[Path] = ()) -> Plugins:
    """The core, the entry points that ``GPTTASKS_PLUGINS`` allows, and the plugins in ``files``.

    A broken entry point is reported in one line on stderr and recorded as ``broken``; the others are loaded. The same
    files and environment give the same object within a process.

    Raises PluginError for a file that is missing or broken, and for a wrong ``GPTTASKS_PLUGINS``.
    """
    sources = tuple((path.absolute(), _file_digest(path)) for path in files)
    key = (os.environ.get(VARIABLE), tuple(sys.path), sources)
    if key not in _loaded:
        plugins = Plugins()
        _load_core(plugins)
        _load_entry_points(plugins)
        problems: list[Problem] = []
        for path, sha256 in sources:
            try:
                _load_file(plugins, path, sha256)
            except PluginError as error:  # noqa: PERF203 - all broken files are reported at once
                problems += error.problems
        if problems:
            raise PluginError(problems)
        _loaded[key] = plugins
    return _loaded[key]


def _load_core(plugins: Plugins) -> None:
    try:
        installed = version(PROJECT)
    except PackageNotFoundError:  # run from a source tree that is not installed
        installed = "not installed"
    record = PluginRecord("core", PROJECT, installed, CORE, "core")
    plugins.adopt(record, lambda: importlib.import_module(CORE))


def _load_entry_points(plugins: Plugins) -> None:
    points = sorted(entry_points(group=PROJECT), key=_order)
    allowed = _allowed([entry_point.name for entry_point in points])
    for entry_point in points:
        record = _record_of(entry_point)
        if entry_point.name not in allowed:
            plugins.records.append(replace(record, state="disabled", reason=f"left out by {VARIABLE}"))
            continue
        try:
            _check_version(entry_point)
            plugins.adopt(record, entry_point.load)
        except Broken as broken:
            raise_if_pressed()  # an interrupted import is no fault of the plugin
            plugins.records.append(replace(record, state="broken", reason=str(broken)))
            say(f"gpttasks: the {record.title} is broken and left out: {broken}")


def _order(entry_point: EntryPoint) -> tuple[bool, str, str]:
    """Bundled plugins first, so that a clash of names is never reported as theirs."""
    distribution = _record_of(entry_point).distribution or ""
    return distribution != PROJECT, distribution, entry_point.name


def _check_version(entry_point: EntryPoint) -> None:
    """Raises Broken for a plugin whose distribution requires another version of gpttasks.

    pip checks this when it resolves dependencies, but not with ``--no-deps``, or if gpttasks was changed afterwards.
    """
    dist = entry_point.dist
    requirements = [line for line in (dist.requires or () if dist else ()) if _ON_GPTTASKS.match(line)]
    if dist is None or not requirements or dist.name == PROJECT:
        return
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import Version

    try:
        installed = version(PROJECT)
    except PackageNotFoundError:  # run from a source tree that is not installed: no version to compare
        return
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise Broken(f"its metadata has a requirement that cannot be read: {one_line(error)}") from error
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            too_old = any(
                part.operator in _AT_LEAST and Version(part.version.removesuffix(".*")) > Version(installed)
                for part in requirement.specifier
            )
            raise Broken(
                f"it requires {PROJECT}{requirement.specifier}, but {PROJECT} {installed} is installed; "
                f"update with: pip install -U {PROJECT if too_old else dist.name}"
            )


def _record_of(entry_point: EntryPoint) -> PluginRecord:
    dist = entry_point.dist
    name, installed = (dist.name, dist.version) if dist else (None, None)
    return PluginRecord(entry_point.name, name, installed, entry_point.value, "entry point")


def _allowed(names: Sequence[str]) -> set[str]:
    """The entry points that ``GPTTASKS_PLUGINS`` allows. Raises PluginError for a name that is not installed."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return set(names)
    items = [item.strip() for item in value.split(",") if item.strip()]
    excluded = [item[1:].strip() for item in items if item.startswith("-")]
    if excluded and len(excluded) < len(items):
        raise PluginError(f"{VARIABLE}={value!r} mixes names with and without '-'", hint="write 'a,b' or '-a,-b'")
    problems = [
        Problem(
            f"{VARIABLE} names the plugin {name!r}, which is not installed",
            hint=did_you_mean(name, names) or f"installed: {', '.join(names) or 'none'}",
        )
        for name in excluded or items
        if name not in names
    ]
    if problems:
        raise PluginError(problems)
    return set(names) - set(excluded) if excluded else set(items)


def _file_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise PluginError(Problem(f"the plugin cannot be read: {error.strerror}", file=str(path))) from error


def _load_file(plugins: Plugins, path: Path, sha256: str) -> None:
    # The digest distinguishes files of the same name, which Python would take for one module.
    unique = text_digest(f"{path}\n{sha256}")[:12]
    module_name = f"{FILE_MODULE}{path.stem}_{unique}"
    record = PluginRecord(path.stem, module=module_name, origin=str(path), sha256=sha256)
    try:
        plugins.adopt(record, lambda: _import_file(path, module_name, sha256))
    except Broken as broken:
        cause = broken.__cause__
        line = _line_of(cause, str(path))
        raise PluginError(Problem(f"the plugin cannot be used: {broken}", file=str(path), line=line)) from cause


def _line_of(error: BaseException | None, file: str) -> int | None:
    """The line of ``file`` where an error arose or the syntax is wrong; None if it arose elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


def _import_file(path: Path, module_name: str, sha256: str) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    if path.suffix != ".py":
        raise PluginError(f"{path.name} is not a Python file", hint="expected a file that ends in .py")
    loader = SourceLoader(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None  # it is only for a loader that Python does not know
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        load_from_source(path.parent)
        loader.exec_module(module)
        if executed_digest(path) != sha256:
            raise PluginError(f"{path.name} changed while it was read", hint="run the command again")
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
