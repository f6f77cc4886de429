"""What a run folder says about itself: run.json as it was written, and only the files that the run wrote."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import run

from gpttasks import Run, read_run
from gpttasks.cli import main
from gpttasks.engine.reply_store import ReplyStore
from gpttasks.errors import FolderError
from gpttasks.files import atomic_file
from gpttasks.records.events import LogLines, read_log
from gpttasks.records.folder import RunFolder, nothing_done, open_folder

SCORE_ONLY = ("adapt=none", "train=null", "score.limit=4")


@pytest.fixture
def finished(recipe: Path) -> Run:
    return run(recipe, "out", *SCORE_ONLY)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    change(document)
    (folder / "run.json").write_text(json.dumps(document), "utf-8")


def test_layout_is_not_content(finished: Run) -> None:
    edit(finished.folder, lambda document: None)  # other white space
    assert read_run(finished.folder).edited is None


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(name="another"),
        lambda document: document.pop("checksum"),
        lambda document: document["warnings"].append("seen"),
        lambda document: document.update(added=1),
    ],
)
def test_a_record_that_was_edited_is_reported(
    recipe: Path, finished: Run, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(finished.folder, change)
    again = run(recipe, "out", *SCORE_ONLY)
    assert again.reused
    assert any("run.json was changed after the run wrote it, in: " in note for note in again.notes)


def test_what_was_edited_is_named(finished: Run) -> None:
    edit(finished.folder, lambda document: document.update(name="another", added=1))
    assert (read_run(finished.folder).edited or "").endswith("in: added, name")


@pytest.mark.parametrize("value", [0.0, 0.875, 17.5])
def test_scores_that_were_edited_are_not_shown(recipe: Path, finished: Run, value: float) -> None:
    edit(finished.folder, lambda document: document["scores"]["accuracy"].update(value=value))
    with pytest.raises(FolderError, match=r"was changed after the run wrote it, in: scores; restore run\.json"):
        run(recipe, "out", *SCORE_ONLY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(scores={}), "it has no scores"),
        (lambda document: document.update(files={}), "it has no files"),
        (lambda document: document["files"].pop("samples.parquet"), "its files lack samples.parquet"),
    ],
)
def test_a_finished_run_has_scores_and_files(
    finished: Run, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(finished.folder, change)
    with pytest.raises(FolderError, match=message):
        read_run(finished.folder)


@pytest.mark.parametrize("name", ["/dev/zero", "../out/samples.parquet", "head/../../x", "C:/x"])
def test_no_file_outside_of_the_folder_is_read(recipe: Path, finished: Run, name: str) -> None:
    edit(finished.folder, lambda document: document["files"].update({name: "0" * 64}))
    with pytest.raises(FolderError, match="is not a file of the run folder"):
        run(recipe, "out", *SCORE_ONLY)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["samples.parquet", "recipe.yaml", "events.jsonl"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(recipe: Path, finished: Run, name: str) -> None:
    (finished.folder / name).unlink(missing_ok=True)
    os.mkfifo(finished.folder / name)
    with pytest.raises(FolderError, match=f"{name} is not a"):
        run(recipe, "out", *SCORE_ONLY)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    os.mkfifo(tmp_path / "checkpoints" / "last.safetensors")
    with (
        pytest.raises(FolderError, match=r"last\.safetensors is not a file or folder; remove it"),
        open_folder(tmp_path, "0" * 64, force=False),
    ):
        pass


def test_other_files_are_not_the_runs(recipe: Path, finished: Run) -> None:
    (finished.folder / "notes.txt").write_text("mine")
    again = run(recipe, "out", *SCORE_ONLY, force=True)
    (again.folder / "notes.txt").write_text("mine")
    assert "notes.txt" not in again.record.files
    assert run(recipe, "out", *SCORE_ONLY).reused


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_text("")])
def test_a_report_that_is_another_is_reported(recipe: Path, finished: Run, change: Callable[[Path], object]) -> None:
    change(finished.folder / "report.html")
    again = run(recipe, "out", *SCORE_ONLY)
    assert any("report.html" in note for note in again.notes)


def test_a_recipe_that_asks_otherwise_gives_no_predictions(
    recipe: Path, finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished.folder / "recipe.yaml"
    rows = recipe.parent / "data" / "test.csv"
    predict = ["predict", str(finished.folder), "--input", str(rows)]
    text = file.read_text("utf-8")
    assert "Sentiment" in text
    file.write_text(text.replace("Sentiment", "Opinion"), "utf-8")
    assert main(predict) == 2
    assert "its task differs from that of the run; restore the file" in capsys.readouterr().err
    file.write_text(f"# the data has moved\n{text}", "utf-8")  # people correct a path in it
    assert main(predict) == 0
    assert "recipe.yaml is not the file that the run wrote" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["NaN", "1e999", "-Infinity"])
def test_a_loss_that_is_not_a_number_of_json_is_a_damaged_line(tmp_path: Path, loss: str) -> None:
    (tmp_path / "events.jsonl").write_text(f'{{"event": "step", "step": 1, "loss": {loss}}}\n')
    assert read_log(tmp_path).damaged == [1]


def test_a_record_beyond_all_sizes_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "run.json", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(FolderError, match="larger than 200 MB"):
        read_run(tmp_path)


def test_what_a_killed_process_left_in_checkpoints_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with atomic_file(tmp_path / "checkpoints" / "last.safetensors") as unfinished:  # in a folder of its own
        unfinished.write_bytes(b"half")
        with (
            pytest.raises(FolderError, match="is not a run folder"),  # and not: is not a file
            open_folder(tmp_path, "0" * 64, force=False),
        ):
            pass


def test_replies_that_are_kept_are_work_that_depends_on_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert nothing_done(tmp_path)
    store = ReplyStore(tmp_path / "replies.sqlite")
    store.read([b"key"])
    assert (tmp_path / "replies.sqlite").is_file()
    assert nothing_done(tmp_path)
    store.write([(b"key", "1")])
    assert not nothing_done(tmp_path)
    (tmp_path / "replies.sqlite").write_bytes(b"damaged")
    assert not nothing_done(tmp_path)


def _log(folder: Path, run_id: str = "run", steps: int = 6) -> list[str]:
    lines = LogLines(run_id)
    return [lines.line({"event": "step", "step": step, "loss": 1 / step}) for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("change", "altered"),
    [
        (lambda lines: lines, []),
        (lambda lines: lines[1:], [1]),
        (lambda lines: lines[:2] + lines[3:], [3]),
        (lambda lines: [lines[1], lines[0], *lines[2:]], [1, 2, 3]),
        (lambda lines: [*lines, *lines], [7]),
        (lambda lines: [line.replace('"loss": 0.5', '"loss": 0.1') for line in lines], [2]),
        (lambda lines: [line.replace('"chain"', '"link"') for line in lines], []),  # of an earlier version
        (lambda lines: _log(Path(), "another run"), [1]),
        (lambda lines: lines[:-1], []),  # the end is missing: the checkpoint shows it
    ],
)
def test_a_log_that_is_not_as_it_was_written(
    tmp_path: Path, change: Callable[[list[str]], list[str]], altered: list[int]
) -> None:
    (tmp_path / "events.jsonl").write_text("".join(change(_log(tmp_path))))
    log = read_log(tmp_path, "run")
    assert log.altered == altered
    assert not log.damaged
    assert (log.warning() is not None) == bool(altered)
    assert all("chain" not in event for event in log.events)


def test_the_report_says_what_an_altered_log_lacks(tmp_path: Path, recipe: Path) -> None:
    folder = RunFolder(shutil.copytree(run(recipe, "out", *SCORE_ONLY).folder, tmp_path / "copy"))
    assert folder.keep_events_until(0) is None
    for step in range(1, 5):
        folder.log({"event": "step", "step": step, "loss": 0.5})
    assert folder.keep_events_until(4) is None
    assert "the report lacks the steps after 4 until 6" in (folder.keep_events_until(6) or "")
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join([*lines[:1], *lines[2:]]))
    assert "lines are missing, changed or added at line 2" in (folder.keep_events_until(4) or "")
    assert folder.keep_events_until(4) is None  # once
    folder.log({"event": "step", "step": 5, "loss": 0.5})
    assert [event["step"] for event in folder.events()] == [1, 3, 4, 5]


def test_a_run_without_its_record_is_named(recipe: Path, finished: Run) -> None:
    (finished.folder / "run.json").unlink()
    with pytest.raises(FolderError, match=r"holds files of a run, but its run\.json is missing; restore run\.json"):
        run(recipe, "out", *SCORE_ONLY)


def test_a_run_of_links_is_read(recipe: Path, finished: Run, tmp_path: Path) -> None:
    """As git-annex and the Hub's cache keep files."""
    for name in ("samples.parquet", "recipe.yaml"):
        target = (finished.folder / name).rename(tmp_path / name)
        (finished.folder / name).symlink_to(target)
    assert run(recipe, "out", *SCORE_ONLY).reused


@pytest.mark.parametrize("name", ["", ".", "a\u0000b", "\ud800"])
def test_names_that_no_file_has(recipe: Path, finished: Run, name: str) -> None:
    edit(finished.folder, lambda document: document["files"].update({name: "0" * 64}))
    with pytest.raises(FolderError, match="is not a file of the run folder"):
        run(recipe, "out", *SCORE_ONLY)


def test_a_record_of_an_earlier_version_was_not_edited(finished: Run) -> None:
    def older(document: dict[str, Any]) -> None:
        del document["checksum"], document["method"]

    edit(finished.folder, older)
    assert read_run(finished.folder).edited is None


def test_a_default_that_has_changed_is_no_other_recipe(recipe: Path, finished: Run) -> None:
    def other(document: dict[str, Any]) -> None:
        document["method"] = dict.fromkeys(document["method"], "0" * 64) | {"later": "1"}

    edit(finished.folder, other)
    assert main(["predict", str(finished.folder), "--input", str(recipe.parent / "data" / "test.csv")]) == 0


@pytest.mark.parametrize("name", ["adapter", "model"])
def test_weights_of_another_run_are_refused_before_the_work(
    recipe: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("gpttasks.pipeline.stages.score_split", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            run(recipe, "out", *SCORE_ONLY)
    (recipe.parent / "out" / name).mkdir()
    with pytest.raises(FolderError, match=f"{name} is not a folder of this run: its adaptation 'none'"):
        run(recipe, "out", *SCORE_ONLY)
    (recipe.parent / "out" / name).rmdir()
    assert run(recipe, "out", *SCORE_ONLY).state == "finished"
