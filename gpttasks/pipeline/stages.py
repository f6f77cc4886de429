"""The stages of a run in their order, and the run folder that they fill."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.folder import CHECKPOINTS, RECIPE, open_folder
from ..records.run import Run, read_run
from ..training.checkpoint import LAST, saved_step
from .finish import finish
from .job import Job, failures_recorded, new_record
from .parts import PreparedRun
from .score import score_split
from .train import train
from .tune import tune_without_training

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


def default_folder(recipe: Recipe) -> Path:
    """``runs/NAME-DIGEST`` under the working directory."""
    from ..recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


def run_stages(
    recipe: Recipe,
    plugins: Plugins,
    folder: Path,
    prepare: Callable[[], AbstractContextManager[PreparedRun]],
    *,
    force: bool = False,
) -> Run:
    """Carry out a run in its folder, or return the finished run that the folder already holds.

    ``prepare`` loads data and model. An error that stops the run holds the run as ``error.run``.
    """
    from ..recipe import dump_recipe, recipe_digest

    digest = recipe_digest(recipe)
    with open_folder(folder, digest, force=force) as (opened, found):
        if found is not None and found.state == "finished":
            shutil.rmtree(opened / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
            return Run(found.folder, found.record, reused=True)
        job = Job(recipe, plugins, opened, new_record(recipe, plugins, digest, opened.path))
        if found is not None:
            job.seconds_before = found.record.time
            job.resumed_from = saved_step(opened / CHECKPOINTS / LAST)
        with failures_recorded(job):
            job.save("running")  # first, so that the folder is a run from its first file on
            opened.write_text(RECIPE, dump_recipe(recipe))
            _carry_out(job, prepare)
        # Outside: the run is finished, whatever a plugin does now.
        if job.tell("gpttasks_run_finished", scores=job.record.as_json()["scores"]):
            opened.write_record(job.record)
        return read_run(opened.path)


def _carry_out(job: Job, prepare: Callable[[], AbstractContextManager[PreparedRun]]) -> None:
    """Prepare, train or tune, score, and write down."""
    with ExitStack() as stack:
        prepared = job.timed("preparing", lambda: stack.enter_context(prepare()))
        job.describe(prepared)
        job.tell("gpttasks_run_started")
        if prepared.adaptation.trains:
            job.timed("training", lambda: train(job, prepared))
        elif prepared.tunes_without_training:
            job.timed("tuning", lambda: tune_without_training(job, prepared))
        scored = job.timed("scoring", lambda: score_split(job, prepared))
        finish(job, prepared, scored)
