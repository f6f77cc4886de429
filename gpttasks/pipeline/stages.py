"""The stages of a run in their order, and the run folder that they fill."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import remove_unfinished
from ..records.folder import CHECKPOINTS, RECIPE, open_folder
from ..records.run import Run, read_run
from ..training.resume_point import saved_step
from .active_run import ActiveRun, failures_recorded, new_record
from .finish import finish
from .parts import PreparedRun
from .score import announce_scoring, score_split
from .train import train
from .tune import tune_without_training

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


def run_stages(
    recipe: Recipe,
    plugins: Plugins,
    folder: Path,
    prepare: Callable[[], AbstractContextManager[PreparedRun]],
    *,
    force: bool = False,
) -> Run:
    """Carry out a run in its folder, or return the finished run that the folder already holds.

    ``prepare`` loads data and model. An error that stops the run has the run as ``error.run``.
    """
    from ..recipe import dump_recipe, recipe_digest

    digest = recipe_digest(recipe)
    with open_folder(folder, digest, force=force) as (opened, found):
        remove_unfinished(opened.path)
        if found is not None and found.state == "finished":
            shutil.rmtree(opened / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
            return Run(found.folder, found.record, reused=True)
        run = ActiveRun(recipe, plugins, opened, new_record(recipe, plugins, digest, opened.path))
        if found is not None:
            run.seconds_before = found.record.time
            run.resumed_from = saved_step(opened / CHECKPOINTS)
        with failures_recorded(run):
            run.save("running")  # first, so that the folder is a run folder from its first file on
            opened.write_text(RECIPE, dump_recipe(recipe))
            _carry_out(run, prepare)
        # Outside the block: the run is finished, even if a plugin fails now.
        if run.call_hook("gpttasks_run_finished", scores=run.record.as_json()["scores"]):
            opened.write_record(run.record)
        return read_run(opened.path)


def _carry_out(run: ActiveRun, prepare: Callable[[], AbstractContextManager[PreparedRun]]) -> None:
    """Prepare, train or tune, score, and write the results."""
    with ExitStack() as stack:
        prepared = run.timed("preparing", lambda: stack.enter_context(prepare()))
        run.describe(prepared)
        expected = announce_scoring(run, prepared)
        run.call_hook("gpttasks_run_started")
        if prepared.adaptation.trains:
            run.timed("training", lambda: train(run, prepared))
        elif prepared.tunes_without_training:
            run.timed("tuning", lambda: tune_without_training(run, prepared))
        scored = run.timed("scoring", lambda: score_split(run, prepared, expected))
        finish(run, prepared, scored)
