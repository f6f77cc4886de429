"""The hooks of a gpttasks plugin.

A plugin is a module with functions that are marked ``@hookimpl`` and named as one of the hooks below. It is found by
an entry point in the group ``gpttasks`` of an installed distribution::

    [project.entry-points.gpttasks]
    sarcasm = "gpttasks_sarcasm"

or given on the command line as ``--plugin FILE``. A hook function may leave out arguments that it does not need, but
may not name others. A function whose name begins with ``gpttasks_`` and is no hook is an error, so a misspelt hook
never goes unnoticed.

A lifecycle hook that raises stops no run: its first failure is a warning, on stderr and in ``run.json``, and it is
called again the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from . import Register

PROJECT = "gpttasks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class RunInfo:
    """The run that a lifecycle hook is called for.

    recipe:
        the resolved recipe with every default written out, in plain Python containers.
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
    """Make components and recipes known; called once, when the plugin is loaded.

    ``register`` has the methods ``task``, ``head``, ``metric``, ``backbone``, ``encoder``, ``adaptation`` and
    ``baseline``, each of which takes a class, and ``recipes``, which takes a folder with one ``NAME.yaml`` a recipe::

        @hookimpl
        def gpttasks_register(register: Register) -> None:
            register.task(Sarcasm)
            register.recipes(Path(__file__).parent / "recipes")

    ``Register`` can be imported from gpttasks, for those who annotate. A class has a ``name`` of small letters, digits,
    ``-`` and ``_``, by which recipes call it, and may have ``Options``. The hook is not called again, so nothing should
    be loaded here: a plugin that imports torch only where it is needed keeps ``gpttasks check`` quick.
    ``register.answer_kind(AnswerKind(...))`` makes a kind of answer known, which heads may then give and metrics take.
    ``register.later(kind, name, "package.module:Class")`` registers a class that is imported when a recipe or a list
    first names it.

    ``template_filter``, ``reader`` and ``media_type`` register functions by which data are read; see ``Register``.

    A name that another plugin has registered already is an error that names both distributions: this plugin is then
    refused as a whole.
    """


@hookspec
def gpttasks_run_started(run: RunInfo) -> None:
    """A run starts, or resumes after an interruption (``run.resumed_from``): its folder exists, and all is loaded."""


@hookspec
def gpttasks_logged(run: RunInfo, step: int, values: Mapping[str, float]) -> None:
    """The training log got a line: ``values`` by name (``loss``, ``learning_rate``, ``tokens_per_second``, ...).

    ``step`` counts optimiser steps from 1. Called by the main process only, as are all lifecycle hooks.
    """


@hookspec
def gpttasks_validated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """The adaptation was validated after ``step`` steps; the scores by metric key, None where undefined."""


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
    """The run is finished and its folder complete; ``scores`` as ``run.json`` holds them, by metric key."""


@hookspec
def gpttasks_run_failed(run: RunInfo, error: BaseException) -> None:
    """The run stopped with ``error`` (KeyboardInterrupt if the user stopped it); what was reached is kept."""
