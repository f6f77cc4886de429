"""The hooks of a gpttasks plugin.

A plugin is a module with functions that are marked ``@hookimpl`` and have the names of hooks below. It is found by an
entry point in the group ``gpttasks`` of an installed distribution::

    [project.entry-points.gpttasks]
    sarcasm = "gpttasks_sarcasm"

or given on the command line as ``--plugin FILE``. A hook function may omit arguments that it does not need, but must
not have others. A function with a name that begins with ``gpttasks_`` but is not the name of a hook is an error, so
that misspelt hooks are found.

A lifecycle hook that raises does not stop the run: its first failure becomes a warning, on stderr and in ``run.json``,
and it is called again the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .register import Register

PROJECT = "gpttasks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class RunInfo:
    """The run that a lifecycle hook is called for.

    recipe:
        the resolved recipe with every default, in plain Python containers.
    digest:
        the recipe's digest, SHA-256 in hex.
    resumed_from:
        the optimiser step from which an interrupted run continues, 0 if it has no checkpoint yet; None for a new run.
    """

    name: str
    folder: Path
    recipe: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    resumed_from: int | None = None


@hookspec
def gpttasks_register(register: Register) -> None:
    """Register components and recipes; called once, when the plugin is loaded.

    ``register`` has the methods ``task``, ``head``, ``metric``, ``backbone``, ``encoder``, ``adaptation`` and
    ``baseline``, each of which takes a class, and ``recipes``, which takes a folder with one ``NAME.yaml`` per recipe::

        @hookimpl
        def gpttasks_register(register: Register) -> None:
            register.task(Sarcasm)
            register.recipes(Path(__file__).parent / "recipes")

    Import ``Register`` from gpttasks to annotate the parameter. A class has a ``name`` of lower-case letters, digits,
    ``-`` and ``_``, which recipes use, and may have ``Options``. Load nothing here: a plugin that imports torch only
    where it is needed keeps ``gpttasks check`` quick. ``register.later(kind, name, "package.module:Class")`` registers
    a class that is imported when a recipe or a list first names it.

    ``register.answer_kind(AnswerKind(...))`` registers a kind of answer, which heads may give and metrics take.
    ``template_filter``, ``reader`` and ``media_type`` extend how data are read.

    A name that another plugin has registered is an error that names both distributions, and nothing of this plugin is
    registered.
    """


@hookspec
def gpttasks_run_started(run: RunInfo) -> None:
    """A run starts, or resumes after an interruption (``run.resumed_from``): folder, data and model are ready."""


@hookspec
def gpttasks_logged(run: RunInfo, step: int, values: Mapping[str, float]) -> None:
    """The training log has a new line: ``values`` by name (``loss``, ``learning_rate``, ``tokens_per_second``, ...).

    ``step`` counts optimiser steps from 1. Called by the main process only, like all lifecycle hooks.
    """


@hookspec
def gpttasks_validated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """The adaptation was validated after ``step`` steps; ``scores`` by metric key, None if undefined."""


@hookspec
def gpttasks_add_to_record(run: RunInfo, scores: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What to keep in ``run.json`` under ``hooks`` and the plugin's name: a mapping of JSON values, or None.

    Called once everything is scored, before the files of the run are complete; ``scores`` are those of ``run.json``.
    """


@hookspec
def gpttasks_add_to_report(run: RunInfo, scores: Mapping[str, Any]) -> str | None:
    """A text to show in ``report.html`` under the plugin's name, or None. HTML in it is escaped.

    Called after ``gpttasks_add_to_record``.
    """


@hookspec
def gpttasks_run_finished(run: RunInfo, scores: Mapping[str, Any]) -> None:
    """The run is finished and its folder is complete; ``scores`` by metric key, as in ``run.json``."""


@hookspec
def gpttasks_run_failed(run: RunInfo, error: BaseException) -> None:
    """The run stopped with ``error`` (KeyboardInterrupt if the user stopped it); its progress is kept."""
