"""From a recipe to a finished run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RunFailed, UserError
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
    plugins: str | Path | Sequence[str | Path] = (),
    **values: Any,
) -> Run:
    """Carry out a recipe: a path, or the name of a bundled one.

    ``overrides`` are ``"train.epochs=2"``-like, ``values`` the same by keyword (``backbone="nano"``). ``plugins`` are
    files to load as plugins. Returns the finished run; a run that was finished before is returned as it is.

    Raises UserError for wrong input, RunFailed, and Interrupted on Ctrl-C.
    """
    from .plugins import load_plugins
    from .recipe import load_recipe, problems_placed

    files = [plugins] if isinstance(plugins, (str, Path)) else plugins
    loaded = load_plugins([Path(file) for file in files])
    given = [*overrides, *(f"{key}={_as_yaml(value)}" for key, value in values.items())]
    resolved = load_recipe(str(recipe), given, loaded)
    with problems_placed(str(recipe), given, loaded):
        return run_recipe(resolved, loaded, out=Path(out) if out else None, force=force)


def _as_yaml(value: Any) -> str:
    """A value of Python as YAML on one line: JSON is YAML, if characters stand for themselves."""
    return json.dumps(value, ensure_ascii=False, default=os.fspath)


def default_folder(recipe: Recipe) -> Path:
    """``runs/NAME-DIGEST`` under the working directory."""
    from .recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


def run_recipe(recipe: Recipe, plugins: Plugins, *, out: Path | None = None, force: bool = False) -> Run:
    """Carry out a resolved recipe in ``out``; see :func:`run`. An error that stops the run has it as ``error.run``."""
    from .recipe import dump_recipe, recipe_digest
    from .stages.job import Job, failures_recorded, new_record

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # before the folder is locked, by one process of many
        raise UserError(
            f"started as {os.environ['WORLD_SIZE']} processes; a run uses one", hint="start it without torchrun"
        )
    digest = recipe_digest(recipe)
    with open_folder(out or default_folder(recipe), digest, force=force) as (folder, found):
        if found is not None and found.state == "finished":
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
            return Run(found.folder, found.record, reused=True)
        job = Job(recipe, plugins, folder, new_record(recipe, plugins, digest, folder.path))
        if found is not None:
            job.earlier = found.record["time"]
        with failures_recorded(job):
            job.save("running")  # first, so that the folder is a run from its first file on
            folder.write_text(RECIPE, dump_recipe(recipe))
            _carry_out(job)
        # Outside: a plugin that fails here is told, and the run is finished all the same.
        done = read_run(folder.path)
        try:
            plugins.call("gpttasks_run_finished", run=job.info, scores=done.record["scores"])
        except RunFailed as error:
            error.run = done  # type: ignore[attr-defined]
            raise
        return done


def _carry_out(job: Job) -> None:
    """The whole run: prepare, train, answer, score, write down."""
    from .stages.finish import finish
    from .stages.prepare import prepare
    from .stages.score import score_split
    from .stages.train import train

    bench = job.timed("preparing", lambda: prepare(job.recipe, job.plugins))
    job.describe(bench)
    job.plugins.call("gpttasks_run_started", run=job.info)
    if bench.adaptation.trains:
        job.timed("training", lambda: train(job, bench))
    scored = job.timed("scoring", lambda: score_split(job, bench))
    finish(job, bench, scored)
