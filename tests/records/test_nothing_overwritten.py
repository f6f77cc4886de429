"""Nothing of the user's is overwritten, moved or written through a symbolic link."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpttasks.errors import FolderError
from gpttasks.records.folder import open_folder
from gpttasks.records.run import RunRecord


def begin(path: Path, *, force: bool = False, digest: str = "d1") -> None:
    """What a run does with its folder first."""
    with open_folder(path, digest, force=force) as (folder, before):
        if before is None:
            folder.write_text("recipe.yaml", "name: a\n")
            record = RunRecord(
                state="running", name="a", folder=str(path), digest=digest, seed=1, started="2026-01-01T00:00:00+00:00"
            )
            folder.write_record(record)


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [("run.json", "{}"), ("run.json", '{"schema": "another.tool/1"}'), ("run.json", "[]"), ("recipe.yaml", "eggs: 3")],
)
def test_force_leaves_a_folder_that_holds_no_run(name, text, mine):
    for _ in range(2):
        with pytest.raises(FolderError, match="is not a run folder, and --force moves only a run aside"):
            begin(mine, force=True)
        (mine / name).write_text(text)
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert sorted(os.listdir(mine.parent)) == ["mine"]


def test_force_leaves_a_folder_of_runs(tmp_path):
    begin(tmp_path / "runs" / "one")
    with pytest.raises(FolderError, match="--force moves only a run aside"):
        begin(tmp_path / "runs", force=True)
    assert (tmp_path / "runs" / "one" / "run.json").is_file()


def test_force_uses_an_empty_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").write_text("")
    begin(tmp_path / "out", force=True)
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_force_moves_a_run_aside_even_if_its_record_is_damaged(tmp_path):
    out = tmp_path / "out"
    for damage in (None, "", "{", '{"schema": 3}'):
        begin(out, force=True)
        if damage is not None:
            (out / "run.json").write_text(damage)
    begin(out, force=True)
    assert sorted(os.listdir(tmp_path)) == ["out", *(f"out.old-{number}" for number in range(1, 5))]
    assert json.loads((out / "run.json").read_text())["state"] == "running"


def test_force_does_not_move_the_working_directory(tmp_path, monkeypatch):
    begin(tmp_path / "out")
    (tmp_path / "out" / "below").mkdir()
    for place, path in ((tmp_path / "out", Path()), (tmp_path / "out" / "below", Path(".."))):
        monkeypatch.chdir(place)
        with pytest.raises(FolderError, match="cannot be moved aside, since the working directory is in it"):
            begin(path, force=True, digest="d2")
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_dangling_link_is_not_the_free_name(tmp_path):
    begin(tmp_path / "out")
    (tmp_path / "out.old-1").symlink_to(tmp_path / "nowhere")
    begin(tmp_path / "out", force=True)
    assert (tmp_path / "out.old-2" / "run.json").is_file()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [".lock", "events.jsonl", "replies.sqlite", "checkpoints", "head"])
def test_an_unfinished_run_writes_through_no_link(name, tmp_path, mine):
    begin(tmp_path / "out")
    (tmp_path / "out" / name).symlink_to(mine if name in ("checkpoints", "head") else mine / "thesis.txt")
    with pytest.raises(FolderError, match=rf"{name} is a symbolic link, and a run writes only in its own folder"):
        begin(tmp_path / "out")
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_link_in_a_folder_of_the_run_is_not_followed_either(tmp_path, mine):
    begin(tmp_path / "out")
    (tmp_path / "out" / "checkpoints").mkdir()
    (tmp_path / "out" / "checkpoints" / "last.safetensors").symlink_to(mine / "thesis.txt")
    with pytest.raises(FolderError, match=r"last\.safetensors is a symbolic link"):
        begin(tmp_path / "out")


def test_the_run_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    begin(tmp_path / "out")
    begin(tmp_path / "out")
    assert (tmp_path / "disk" / "run.json").is_file()
