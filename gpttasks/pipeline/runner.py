"""From a recipe to a finished run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem, UserError
from ..parallel.launch import is_helper, launched
from ..parallel.processes import Processes
from ..records.folder import CHECKPOINTS, RECIPE, Run, open_folder, read_run

if TYPE_CHECKING:
    from ..engine.plain import LocalEngine
    from ..plugins import Plugins
    from ..recipe.schema import Recipe
    from ..requests import Reply, Request
    from .job import Job


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
    from ..plugins import load_plugins
    from ..recipe import load_recipe, problems_placed

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
    from ..recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


def run_recipe(recipe: Recipe, plugins: Plugins, *, out: Path | None = None, force: bool = False) -> Run:
    """Carry out a resolved recipe in ``out``; see :func:`run`. An error that stops the run has it as ``error.run``.

    Started by ``torchrun`` as one of several processes, the first carries it out and the others answer requests for it.
    """
    processes = join_processes(recipe)  # before the folder is locked, by one process of many
    folder = out or default_folder(recipe)
    if processes is None:
        return _lead(recipe, plugins, folder, force, None)
    if is_helper():
        _help(recipe, plugins, processes)
        return read_run(folder)
    with processes.leading():
        return _lead(recipe, plugins, folder, force, processes)


def join_processes(recipe: Recipe) -> Processes | None:
    """The processes that this one was started among, None if it is alone. Raises UserError if they are not those asked
    for, or are of no use.
    """
    from ..runtime import choose_device

    count, wanted = launched(), recipe.runtime.processes
    if wanted is not None and wanted != count:
        raise UserError(
            Problem(
                f"{wanted} processes are asked for, and this was started as {count}",
                key="runtime.processes",
                hint=f"start it with: torchrun --standalone --nproc_per_node {wanted} -m gpttasks run ...",
            )
        )
    if count == 1:
        return None
    if recipe.train is not None:
        raise UserError(
            f"started as {count} processes, and training takes one",
            hint="train without torchrun; then score the run with it: backbone=runs/NAME adapt=none train=null",
        )
    return Processes(choose_device(recipe.runtime.device))


def _help(recipe: Recipe, plugins: Plugins, processes: Processes) -> None:
    """Load the same model as the first process, and answer what it asks."""
    from ..engine.sharded import answer_share
    from .prepare import prepare

    engines: list[LocalEngine] = []

    def load(_: None) -> None:
        engines.append(prepare(recipe, plugins).local_engine())

    def answer(given: tuple[Sequence[Request], Sequence[Sequence[int]]]) -> tuple[list[Reply], dict[str, Any]]:
        requests, shares = given
        return answer_share(engines[0], requests, shares[processes.rank])

    processes.help({"load": load, "answer": answer})


def _lead(recipe: Recipe, plugins: Plugins, out: Path, force: bool, processes: Processes | None) -> Run:
    """The run as one process carries it out, with the help of others if there are any."""
    from ..recipe import dump_recipe, recipe_digest
    from .job import Job, failures_recorded, new_record

    digest = recipe_digest(recipe)
    with open_folder(out, digest, force=force) as (folder, found):
        if found is not None and found.state == "finished":
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
            return Run(found.folder, found.record, reused=True)
        job = Job(recipe, plugins, folder, new_record(recipe, plugins, digest, folder.path))
        if found is not None:
            job.earlier = found.record["time"]
        with failures_recorded(job):
            job.save("running")  # first, so that the folder is a run from its first file on
            folder.write_text(RECIPE, dump_recipe(recipe))
            _carry_out(job, processes)
        # Outside: the run is finished, whatever a plugin does now.
        if job.tell("gpttasks_run_finished", scores=job.record["scores"]):
            folder.write_record(job.record)
        return read_run(folder.path)


def _carry_out(job: Job, processes: Processes | None) -> None:
    """The whole run: prepare, train or tune, answer, score, write down."""
    from .finish import finish
    from .prepare import prepare, tunes_alone
    from .score import score_split
    from .train import train
    from .tune import tune_untrained

    bench = job.timed("preparing", lambda: prepare(job.recipe, job.plugins, processes))
    job.describe(bench)
    job.tell("gpttasks_run_started")
    if bench.adaptation.trains:
        job.timed("training", lambda: train(job, bench))
    elif tunes_alone(bench.recipe, bench.head, bench.adaptation):
        job.timed("tuning", lambda: tune_untrained(job, bench))
    scored = job.timed("scoring", lambda: score_split(job, bench))
    finish(job, bench, scored)
