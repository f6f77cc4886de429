"""The plugins that a run was made with, and those among them that are missing now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import PluginError, Problem
from .hookspecs import PROJECT
from .registry import Plugins


@contextmanager
def recorded_plugins_named(record: Path, plugins: Plugins) -> Iterator[None]:
    """Add to errors about missing names which plugin of the run registered them, and how to install it.

    record:
        the file ``run.json`` of the run; if it does not exist, errors are not changed.
    """
    try:
        yield
    except PluginError as error:
        problems = name_recorded_plugins(error.problems, record, plugins)
        raise PluginError(problems, names_owner=error.names_owner) from error


def name_recorded_plugins(problems: tuple[Problem, ...], record: Path, plugins: Plugins) -> list[Problem]:
    """The problems. If a missing plugin of the run may explain one, its hint names the plugin."""
    missing = list(_missing(record, plugins))
    named = []
    for problem in problems:
        known_at_fault = [one for one in missing if _registered(one, problem)]
        # Runs of earlier versions do not record what each plugin registers: it may be any of them.
        at_fault = known_at_fault or [one for one in missing if not one.get("registers") and _is_unknown(problem)]
        hint = "; ".join(_advice(one, plugins) for one in at_fault)
        if hint and problem.hint and not _is_unknown(problem):  # the hint of an unknown name is only a guess
            hint = f"{problem.hint}; {hint}"
        named.append(replace(problem, hint=hint) if hint else problem)
    return named


def name_missing_owner(problem: Problem, name: str, record: Path, plugins: Plugins) -> Problem:
    """The problem; if a plugin that the run records and that is missing registered ``name``, its hint names it, too."""
    owners = [one for one in _missing(record, plugins) if name in _names(one)]
    hints = [*([problem.hint] if problem.hint else []), *(_advice(one, plugins) for one in owners)]
    return replace(problem, hint="; ".join(hints) or None)


def _missing(record: Path, plugins: Plugins) -> Iterator[Mapping[str, Any]]:
    """The plugins that the run records and that are not loaded now, or in another version."""
    try:
        document = json.loads(record.read_text("utf-8"))
        recorded = [one for one in document["plugins"] if isinstance(one, dict)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no run, or one that cannot be read
        return
    loaded = {(one.name, one.distribution, one.version, one.sha256) for one in plugins.records if one.state == "ok"}
    for one in recorded:
        key = tuple(one.get(name) for name in ("name", "distribution", "version", "sha256"))
        if one.get("distribution") != PROJECT and key not in loaded:
            yield one


def _registered(plugin: Mapping[str, Any], problem: Problem) -> bool:
    """Whether the message names something that the plugin registered."""
    return any(f"{name!r}" in problem.message for name in _names(plugin))


def _names(plugin: Mapping[str, Any]) -> list[str]:
    """What the plugin registered, of all kinds."""
    registers = plugin.get("registers")
    return [name for some in registers.values() for name in some] if isinstance(registers, dict) else []


def _is_unknown(problem: Problem) -> bool:
    """Whether the problem is a name that is not registered."""
    return "there is no " in problem.message or "No filter named" in problem.message


def _advice(plugin: Mapping[str, Any], plugins: Plugins) -> str:
    """How to get the plugin that the run was made with."""
    name, distribution, version = plugin.get("name"), plugin.get("distribution"), plugin.get("version")
    now = next((one for one in plugins.records if one.name == name and one.distribution == distribution), None)
    if distribution is None:
        made = f"the run was made with the plugin file {plugin.get('origin')}"
        if now is None:
            if Path(str(plugin.get("origin"))).is_file():
                return f"{made}: add --plugin {plugin.get('origin')}"
            return f"{made}, which is not there now: give its new place with --plugin FILE"
        return f"{made}, which " + ("has changed since" if now.state == "ok" else f"is {now.state}: {now.reason}")
    state = "which is not installed"
    if now is not None:
        other = now.version != version
        state = f"but {now.version} is installed" if other else f"which is {now.state}: {now.reason}"
    return f"the run was made with {distribution} {version}, {state}: pip install {distribution}=={version}"
