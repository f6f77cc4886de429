"""``gpttasks run``: train and score a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import AcceptChanged, AsJson, Changes, PluginFiles, RecipeName, TrustCode
from .output import aligned, say, use_text

if TYPE_CHECKING:
    from ..recipe.schema import Recipe
    from ..records.run import Run


def run(
    recipe: RecipeName,
    changes: Changes = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run folder, instead of runs/NAME-DIGEST.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Move an existing run folder aside and start again.")] = False,
    plugin: PluginFiles = None,
    accept_changed: AcceptChanged = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> Mapping[str, Any]:
    """Train and score a recipe.

    An interrupted run is resumed; a finished run is not repeated, and its scores are shown again. Both are refused if
    what the run depends on has changed: the base model, the data, the code of a plugin, versions. The exit status is 0
    if the run is done, 1 if it failed, 2 if the input is wrong, and 130 if it was interrupted.

    Example: gpttasks run imdb-lora backbone=nano train.epochs=2
    """
    from ..pipeline.runner import run_recipe
    from ..plugins import load_plugins
    from ..recipe import load_recipe, problems_placed
    from ..records.folder import default_folder

    plugins = load_plugins(plugin or [])
    resolved = load_recipe(recipe, changes or [], plugins, trust_code=trust_code)
    folder = out or default_folder(resolved)
    say(_announcement(resolved, folder))
    with problems_placed(recipe, changes or [], plugins):
        done = run_recipe(resolved, plugins, out=folder, force=force, accept_changed=(accept_changed or "").split(","))
    _show_result(done)
    return {**done.document, "reused": done.reused}


def _announcement(recipe: Recipe, folder: Path) -> str:
    from ..recipe import short_digest

    parts = f"backbone {use_text(recipe.backbone)}, head {use_text(recipe.head)}, adaptation {use_text(recipe.adapt)}"
    return f"{recipe.name} ({short_digest(recipe)}): task {recipe.task.name}, {parts}; run folder {folder}"


def _show_result(run: Run) -> None:
    """Print the scores with their intervals, the warnings, and the path of the report."""
    from ..records.folder import REPORT

    if run.reused:
        say("This run is already finished; its scores are reused (--force repeats it).")
    for note in run.notes:
        say(f"warning: {note}")
    say(_score_table(run))
    for key, score in run.scores.items():
        if score.reason:
            say(f"{key}: {score.reason}")
    for warning in run.record.warnings if run.reused else ():  # a run prints its warnings when they arise
        say(f"warning: {warning}")
    say(f"report: {run.folder / REPORT}")


def _score_table(run: Run) -> str:
    """One line a score, baselines after the metric that they belong to.

    There is a column ``groups`` where samples have groups, and a column ``answers`` where ties, empty or unfinished
    answers move the model's scores.
    """
    from ..metrics.signature import keys_by_measure
    from ..records.sections import answers_to_note

    noted = answers_to_note(run.record.samples.model_dump())
    grouped = any(score.groups is not None for score in run.scores.values())
    rows = [["metric", "value", "interval", "n", *(["groups"] if grouped else []), *(["answers"] if noted else [])]]
    for key in keys_by_measure({key: score.measure for key, score in run.scores.items()}):
        score = run.scores[key]
        bounds = f"{_number(score.low)} to {_number(score.high)} ({score.level * 100:g} %)"
        groups = "-" if score.groups is None else f"{score.groups:,}"
        note = "" if score.of_baseline else noted
        cells = [key, _number(score.value), "-" if score.low is None else bounds, f"{score.n:,}"]
        rows.append([*cells, *([groups] if grouped else []), *([note] if noted else [])])
    return aligned(rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
