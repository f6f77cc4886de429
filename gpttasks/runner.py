"""From a recipe to a finished run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .run_folder import CHECKPOINTS, RECIPE, Run, open_folder, read_run

if TYPE_CHECKING:
    from .plugins import Plugins
    from .recipe.schema import Recipe
    from .stages.job import Job


def run(
    recipe: str | Path,
    *overrides: str,
    out: str | Path | None = None,
    force: bool = False,
    plugins: Sequence[str | Path] = (),
    **values: Any,
) -> Run:
    """Carry out a recipe: a path, or the name of a bundled one.

    ``overrides`` are ``"train.epochs=2"``-like, ``values`` the same by keyword (``backbone="nano"``). ``plugins`` are
    files to load as plugins. Returns the finished run; a run that was finished before is returned as it is.

    Raises UserError for wrong input, RunFailed, and Interrupted on Ctrl-C.
    """
    from .plugins import load_plugins
    from .recipe import load_recipe

    loaded = load_plugins([Path(file) for file in plugins])
    given = [*overrides, *(f"{key}={json.dumps(value)}" for key, value in values.items())]
    return run_recipe(load_recipe(str(recipe), given, loaded), loaded, out=Path(out) if out else None, force=force)


def default_folder(recipe: Recipe) -> Path:
    """``runs/NAME-DIGEST`` under the working directory."""
    from .recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


def run_recipe(recipe: Recipe, plugins: Plugins, *, out: Path | None = None, force: bool = False) -> Run:
    """Carry out a resolved recipe in ``out``; see :func:`run`. An error that stops the run has it as ``error.run``."""
    from .recipe import dump_recipe, recipe_digest
    from .stages.job import Job, failures_recorded, new_record

    digest = recipe_digest(recipe)
    with open_folder(out or default_folder(recipe), digest, force=force) as (folder, found):
        if found is not None and found.state == "finished":
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
            return Run(found.folder, found.record, reused=True)
        folder.write_text(RECIPE, dump_recipe(recipe))
        job = Job(recipe, plugins, folder, new_record(recipe, plugins, digest, folder.path))
        with failures_recorded(job):
            _carry_out(job)
        return read_run(folder.path)


def _carry_out(job: Job) -> None:
    """The whole run: prepare, train, answer, score, write down."""
    from .stages.finish import finish
    from .stages.prepare import prepare
    from .stages.score import score_split
    from .stages.train import train

    job.save("running")
    bench = job.timed("preparing", lambda: prepare(job.recipe, job.plugins))
    job.describe(bench)
    job.plugins.call("gpttasks_run_started", run=job.info)
    if bench.adaptation.trains:
        job.timed("training", lambda: train(job, bench))
    scored = job.timed("scoring", lambda: score_split(job, bench))
    finish(job, bench, scored)
    job.plugins.call("gpttasks_run_finished", run=job.info, scores=job.record["scores"])
