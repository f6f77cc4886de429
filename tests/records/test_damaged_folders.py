"""A damaged run folder is one message: which file, what is wrong with it, what to do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import run

from gpttasks import read_run
from gpttasks.cli import main
from gpttasks.errors import FolderError, Interrupted, RunFailed
from gpttasks.pipeline import stages
from gpttasks.records.events import read_log
from gpttasks.records.folder import open_folder
from gpttasks.records.run import _ALWAYS_THERE

SCORE_ONLY = ("adapt=none", "train=null")
STEP = '{"event": "step", "step": %d, "loss": 1.5}\n'


@pytest.mark.parametrize("name", [".lock", "run.json", "recipe.yaml", "events.jsonl", "data.json", "samples.parquet"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with (
        pytest.raises(FolderError, match=f"{name} is not a file; remove it"),
        open_folder(tmp_path, "0" * 64, force=False),
    ):
        pass


@pytest.mark.parametrize("name", ["adapter", "head", "model", "checkpoints"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with (
        pytest.raises(FolderError, match=f"{name} is not a folder; remove it"),
        open_folder(tmp_path, "0" * 64, force=False),
    ):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(FolderError, match="not a regular file"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"schema": NaN}', "NaN is not a JSON number"),
        (b'{"schema": 1e999}', "1e999 is not a JSON number"),
    ],
)
def test_files_that_are_not_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(FolderError, match=message):
        read_run(tmp_path)


def test_every_key_that_every_version_wrote_is_needed(recipe: Path) -> None:
    done = run(recipe, "out", *SCORE_ONLY)
    document = json.loads((done.folder / "run.json").read_text())
    for key in _ALWAYS_THERE:
        rest = {name: value for name, value in document.items() if name != key}
        (done.folder / "run.json").write_text(json.dumps(rest))
        with pytest.raises(FolderError, match=f"{key} is missing|got the schema None"):
            run(recipe, "out", *SCORE_ONLY)


def test_a_damaged_line_does_not_hide_the_lines_after_it(tmp_path: Path) -> None:
    lines = [STEP % 1, "garbage\n", STEP % 2, '{"event": "step", "step": "3"}\n', "[]\n", STEP % 4]
    (tmp_path / "events.jsonl").write_bytes("".join(lines).encode() + b"\xff\n" + (STEP % 5).encode()[:-9])
    log = read_log(tmp_path)
    assert [event["step"] for event in log.events] == [1, 2, 4]
    assert log.damaged == [2, 4, 5, 7]
    assert "4 lines of events.jsonl cannot be read (the first is line 2)" in (log.warning() or "")


def stopped(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted after its first checkpoint."""
    from gpttasks.training.trainer import Trainer

    save = Trainer._save

    def save_and_stop(self: Trainer) -> float:
        save(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save", save_and_stop)
        with pytest.raises(Interrupted):
            run(recipe, "out", "runtime.checkpoint_minutes=0.0001")
    return recipe.parent / "out"


def test_a_resumed_run_says_what_its_log_lacks(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped(recipe, monkeypatch)
    events = folder / "events.jsonl"
    events.write_bytes(b"garbage\n" + events.read_bytes())
    whole = shutil.copytree(folder, recipe.parent / "missing")
    done = run(recipe, "out", "runtime.checkpoint_minutes=0.0001")
    assert any("line 1 of events.jsonl cannot be read" in warning for warning in done.record.warnings)
    (whole / "events.jsonl").unlink()
    done = run(recipe, "missing", "runtime.checkpoint_minutes=0.0001")
    assert any("events.jsonl is missing or empty" in warning for warning in done.record.warnings)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot be written to: permissions do not stop the user root."""
    monkeypatch.setattr("gpttasks.records.folder.os.access", lambda *_, **__: False)
    monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: pytest.fail("the lock was taken"))


def test_a_finished_run_on_a_read_only_disk_is_shown(recipe: Path, request: pytest.FixtureRequest) -> None:
    done = run(recipe, "out", *SCORE_ONLY)
    request.getfixturevalue("read_only")
    again = run(recipe, "out", *SCORE_ONLY)
    assert again.reused
    assert again.document == done.document


def test_other_folders_on_a_read_only_disk_are_refused(tmp_path: Path, read_only: None) -> None:
    with pytest.raises(FolderError, match="cannot be written to"), open_folder(tmp_path, "0" * 64, force=False):
        pass


@pytest.mark.parametrize("change", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_folder_that_vanishes_is_one_message(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    score_split = stages.score_split

    def vanish(active, *arguments):
        change(active.folder.path)
        return score_split(active, *arguments)

    monkeypatch.setattr(stages, "score_split", vanish)
    with pytest.raises(RunFailed, match="was removed or renamed while the run worked in it"):
        run(recipe, "out", *SCORE_ONLY)
    assert not (recipe.parent / "out" / "run.json").exists()


@pytest.mark.parametrize("name", ["x" * 300, "\udcff"])
def test_names_that_no_folder_can_have(recipe: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["run", str(recipe), "--out", name, *SCORE_ONLY],
        ["predict", name, "text"],
        ["export", name],
        ["check", name],
        ["run", str(recipe), f"backbone={name}"],
        ["run", str(recipe), f"task.data.path={name}.csv", "--out", "other"],
        ["run", str(recipe), "--plugin", name],
        ["new", "recipe", name, "--from", str(recipe)],
    ):
        status = main(arguments)
        err = capsys.readouterr().err
        assert status == 2, err
        assert "Traceback" not in err
        assert "internal error" not in err
