"""The stages of a run in their order, and the run folder that they fill."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..files import remove_unfinished
from ..records.dependencies import Dependencies, Kind, compare, refuse_changes
from ..records.folder import CHECKPOINTS, RECIPE, nothing_done, open_folder
from ..records.own_files import changed_report, check_own_files
from ..records.run import Run, read_run
from ..records.writable import check_writable
from ..training.resume_point import saved_step
from .active_run import ActiveRun, failures_recorded, new_record
from .finish import finish
from .parts import PreparedRun, RunParts
from .score import announce_scoring, score_split
from .train import train
from .trained_files import refuse_foreign_files
from .tune import tune_without_training

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe

Prepare: TypeAlias = Callable[[Callable[[RunParts], None]], AbstractContextManager[PreparedRun]]


def run_stages(
    recipe: Recipe,
    plugins: Plugins,
    folder: Path,
    prepare: Prepare,
    dependencies: Callable[[str | None], Dependencies],
    *,
    force: bool = False,
    accepted: Collection[Kind] = (),
) -> Run:
    """Carry out a run in its folder, or return the finished run that the folder already holds.

    An error that stops the run has the run as ``error.run``.

    prepare:
        loads data and model; it calls its argument with the data, before it loads the model.
    dependencies:
        returns what the run depends on now, with this commit of a backbone on the Hub; the model is not loaded.
    accepted:
        the kinds of dependencies that may differ from those of a run that the folder holds.

    Raises FolderError if another one differs, or if files of the finished run are damaged.
    """
    from ..recipe import dump_recipe, recipe_digest

    digest = recipe_digest(recipe)
    with open_folder(folder, digest, force=force) as (opened, found):
        remove_unfinished(opened.path)
        if found is not None and found.state == "finished":
            before = found.record.dependencies
            return _reused(found, dependencies(None if before is None else before.commit), accepted)
        check_writable(opened.path)
        run = ActiveRun(recipe, plugins, opened, new_record(recipe, plugins, digest, opened.path), accepted=accepted)
        if found is not None:
            _go_on_from(found, run)
        with failures_recorded(run):
            run.save("running")  # first, so that the folder is a run folder from its first file on
            opened.write_text(RECIPE, dump_recipe(recipe))
            _carry_out(run, prepare)
        # Outside the block: the run is finished, even if a plugin fails now.
        if run.call_hook("gpttasks_run_finished", scores=run.record.as_json()["scores"]):
            opened.write_record(run.record)
        return read_run(opened.path)


def _go_on_from(found: Run, run: ActiveRun) -> None:
    """Keep of an unfinished run what it is and what it depended on, unless it had done nothing yet."""
    run.seconds_before = found.record.time
    if not nothing_done(run.folder.path):
        for name in ("id", "began_with", "dependencies", "changes", "failed_plugin"):
            setattr(run.record, name, getattr(found.record, name))
    run.resumed_from = saved_step(run.folder / CHECKPOINTS)
    if found.edited is not None:
        run.warn(found.edited)


def _reused(found: Run, now: Dependencies, accepted: Collection[Kind]) -> Run:
    """The finished run, if its files are complete and what it depended on is unchanged. Raises FolderError."""
    check_own_files(found.folder, found.record.files)
    notes = [note for note in (found.edited, changed_report(found.folder, found.record.files)) if note is not None]
    shutil.rmtree(found.folder / CHECKPOINTS, ignore_errors=True)  # left by a kill after the last write
    before = found.record.dependencies
    if before is None:
        notes.append("not compared: an earlier version made the run, which did not record what it depends on")
        return Run(found.folder, found.record, True, tuple(notes))
    changes, unknown = compare(before, now, accepted)
    event = f"the run {found.folder} was finished"
    refuse_changes(changes, event, "repeat the run with --force")
    notes += [*(f"not compared: {text}" for text in unknown), *(change.since(event) for change in changes)]
    return Run(found.folder, found.record, True, tuple(notes))


def _carry_out(run: ActiveRun, prepare: Prepare) -> None:
    """Prepare, train or tune, score, and write the results."""
    with ExitStack() as stack:
        prepared = run.timed("preparing", lambda: stack.enter_context(prepare(run.check_dependencies)))
        refuse_foreign_files(prepared.adaptation, prepared.head, run.folder.path)
        run.describe(prepared)
        expected = announce_scoring(run, prepared)
        run.call_hook("gpttasks_run_started")
        if prepared.adaptation.trains:
            run.timed("training", lambda: train(run, prepared))
        elif prepared.tunes_without_training:
            run.timed("tuning", lambda: tune_without_training(run, prepared))
        scored = run.timed("scoring", lambda: score_split(run, prepared, expected))
        finish(run, prepared, scored)
