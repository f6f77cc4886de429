"""Plugins that add to the record and to the report, and what a hook receives about a resumed run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import run

from gpttasks import read_run
from gpttasks.errors import PluginError

SCORE_ONLY = ("adapt=none", "train=null")
ENERGY = """
from gpttasks import hookimpl

@hookimpl
def gpttasks_add_to_record(run, scores):
    return {"kwh": 0.25, "scored": sorted(scores), "folder": run.folder.name}

@hookimpl
def gpttasks_add_to_report(run, scores):
    return "<b>0.25 kWh</b> for " + ", ".join(scores)
"""


def plugin(recipe: Path, name: str, text: str) -> Path:
    file = recipe.parent / f"{name}.py"
    file.write_text(text)
    return file


def test_what_a_hook_adds_is_in_the_record_and_in_the_report(recipe: Path) -> None:
    done = run(recipe, "out", *SCORE_ONLY, plugins=[plugin(recipe, "energy", ENERGY)])
    added = {"kwh": 0.25, "scored": ["accuracy", "f1", "log_loss"], "folder": "out"}
    assert done.record.hooks == {"energy": added}
    assert json.loads((done.folder / "run.json").read_text())["hooks"] == {"energy": added}
    page = (done.folder / "report.html").read_text()
    assert "&lt;b&gt;0.25 kWh&lt;/b&gt; for accuracy, f1, log_loss" in page
    assert done.record.warnings == []


@pytest.mark.parametrize(
    ("hook", "body", "reason"),
    [
        ("gpttasks_add_to_record", "return {'x': object}", "expected a JSON value"),
        ("gpttasks_add_to_record", "return {'x': float('nan')}", "expected a JSON value"),
        ("gpttasks_add_to_report", "return 5", "got 5, expected a text"),
        ("gpttasks_add_to_report", "raise RuntimeError('no meter')", "RuntimeError: no meter"),
    ],
)
def test_a_hook_that_fails_is_a_warning(recipe: Path, hook: str, body: str, reason: str) -> None:
    text = f"from gpttasks import hookimpl\n@hookimpl\ndef {hook}(run):\n    {body}\n"
    done = run(recipe, "out", *SCORE_ONLY, plugins=[plugin(recipe, "meter", text)])
    (warning,) = done.record.warnings
    assert warning.startswith("the plugin 'meter'")
    assert f"failed in {hook}; the run continues without it" in warning
    assert reason in warning
    assert done.record.hooks == {}
    assert "From plugins" not in (done.folder / "report.html").read_text()


def test_a_hook_learns_from_which_step_a_run_resumes(recipe: Path) -> None:
    watching = """
from gpttasks import hookimpl

@hookimpl
def gpttasks_run_started(run):
    with open(run.folder / "started.txt", "a") as file:
        print(run.resumed_from, file=file)

@hookimpl
def gpttasks_logged(run, step):
    if step == 4 and run.resumed_from is None:
        raise KeyboardInterrupt
"""
    file = plugin(recipe, "watching", watching)
    with pytest.raises(KeyboardInterrupt):
        run_until_interrupted(recipe, file)
    assert read_run(recipe.parent / "out").state == "interrupted"
    run(recipe, "out", "train.validate={every: 3}", plugins=[file])
    assert (recipe.parent / "out" / "started.txt").read_text().split() == ["None", "3"]


def run_until_interrupted(recipe: Path, file: Path) -> None:
    from gpttasks.errors import Interrupted

    try:
        run(recipe, "out", "train.validate={every: 3}", plugins=[file])
    except Interrupted as error:
        raise KeyboardInterrupt from error


def test_a_misspelt_hook_is_refused(recipe: Path) -> None:
    text = "from gpttasks import hookimpl\n@hookimpl\ndef gpttasks_add_to_records(run):\n    return {}\n"
    with pytest.raises(PluginError, match="did you mean 'gpttasks_add_to_record'"):
        run(recipe, "out", *SCORE_ONLY, plugins=[plugin(recipe, "typo", text)])
