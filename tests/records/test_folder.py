"""A folder is either resumable or finished, whatever stops a run and whenever."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_runs import run, samples, write_reviews

from gpttasks import Run, read_run
from gpttasks.errors import DataError, FolderError, RunFailed, UserError
from gpttasks.records.folder import RunFolder

SCORE_ONLY = ("adapt=none", "train=null")


def fails_with(number: int) -> Any:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return full


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_for_the_first_file_is_told_and_the_run_begins_later(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(RunFolder, "write_text", fails_with(number))
    with pytest.raises(RunFailed, match="disk is full") as caught:
        run(recipe, "out", *SCORE_ONLY)
    assert caught.value.run.state == "failed"  # for --json, although it could not be written
    monkeypatch.undo()
    (recipe.parent / "out" / ".run.json.tmp").write_text("half of a fi")
    assert run(recipe, "out", *SCORE_ONLY).state == "finished"


def test_a_corrected_recipe_takes_over_a_folder_in_which_nothing_was_done(recipe: Path) -> None:
    with pytest.raises(DataError):
        run(recipe, "out", *SCORE_ONLY, "task.labels=[bad, good]")
    assert read_run(recipe.parent / "out").state == "failed"
    done = run(recipe, "out", *SCORE_ONLY)
    assert done.state == "finished"
    assert read_run(done.folder).document["digest"] == done.document["digest"]


def test_a_folder_that_cannot_be_made(recipe: Path) -> None:
    (recipe.parent / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be created"):
        run(recipe, "file/out", *SCORE_ONLY)


def test_several_processes_do_not_train_and_the_folder_is_not_taken(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started, but training takes one"):
        run(recipe, "out")
    assert not (recipe.parent / "out").exists()


def test_other_processes_than_asked_for_are_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"runtime\.processes is 3, but 1 process was started") as caught:
        run(recipe, "out", *SCORE_ONLY, "runtime.processes=3")
    assert "torchrun --standalone --nproc_per_node 3" in str(caught.value.problems[0].hint)
    assert not (recipe.parent / "out").exists()


def test_a_plugin_that_fails_at_the_very_end_leaves_the_run_finished(recipe: Path) -> None:
    plugin = recipe.parent / "late.py"
    plugin.write_text(
        "from gpttasks import hookimpl\n"
        "@hookimpl\n"
        "def gpttasks_run_finished(run):\n"
        "    raise RuntimeError('too late')\n"
    )
    done = run(recipe, "out", *SCORE_ONLY, plugins=[plugin])
    assert done.record == read_run(recipe.parent / "out").record
    assert done.state == "finished"
    (warning,) = done.document["warnings"]
    assert "the plugin 'late'" in warning
    assert warning.endswith("failed in gpttasks_run_finished; the run continues without it: RuntimeError: too late")
    assert run(recipe, "out", *SCORE_ONLY, plugins=[plugin]).reused


def test_killed_while_training_it_ends_as_if_nothing_had_happened(recipe: Path) -> None:
    write_reviews(recipe.parent / "data" / "train.csv", 400)
    how = ("train.validate={every: 5, limit: 4}", "runtime.threads=1", "task.data.overlap=allow")
    whole = run(recipe, "whole", *how)
    command = [sys.executable, "-m", "gpttasks", "run", str(recipe), *how, "--out", str(recipe.parent / "killed")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=recipe.parent)
    _wait_for(recipe.parent / "killed" / "checkpoints" / "last.safetensors", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_run(recipe.parent / "killed").state == "running"
    killed = run(recipe, "killed", *how)
    assert killed.document["training"]["resumed_at"], "the kill came before the end"
    assert _trained(killed) == _trained(whole)
    assert samples(killed.folder) == samples(whole.folder)
    assert {key: score.value for key, score in killed.scores.items()} == {
        key: score.value for key, score in whole.scores.items()
    }
    assert killed.document["time"]["seconds"] >= killed.document["time"]["training"]


def _trained(done: Run) -> bytes:
    return (done.folder / "adapter" / "adapter_model.safetensors").read_bytes()


def _wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if file.exists():
            return
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.05)
    raise AssertionError("no checkpoint within a minute")
