"""Files and folders that appear whole or not at all."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gpttasks.files import atomic_file, atomic_folder, is_unfinished, remove_unfinished, write_text
from gpttasks.hashing import files_digest


def test_a_file_appears_with_the_end_of_the_block(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with atomic_file(target) as aside:
        aside.write_text("whole")
        assert not target.exists()
        assert is_unfinished(aside)
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted():
        with atomic_file(target) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "adapter"
    for content in ("old", "new"):
        with atomic_folder(target) as aside:
            assert os.listdir(aside) == []
            (aside / content).write_text(content)
    assert os.listdir(target) == ["new"]

    def failing():
        with atomic_folder(target) as aside:
            (aside / "third").write_text("third")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        failing()
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["adapter"]


def test_what_a_killed_process_left_is_removed_and_in_no_digest(tmp_path):
    with atomic_folder(tmp_path / "adapter") as aside:
        (aside / "whole").write_text("whole")
    digest = files_digest(tmp_path)
    for left in (".adapter.tmp", ".adapter.x1y2.tmp", "adapter/.head.tmp"):
        (tmp_path / left / "deep").mkdir(parents=True)
        (tmp_path / left / "deep" / "half").write_text("half")
    (tmp_path / ".run.json.tmp").write_text("half")
    (tmp_path / "adapter" / ".tmpAb1.tmp").symlink_to(tmp_path / "adapter" / "whole")
    assert files_digest(tmp_path) == digest
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["adapter", "whole"]
    assert (tmp_path / "adapter" / "whole").read_text() == "whole"


def test_temporary_files_of_a_library_stay_beside_the_file_it_writes(tmp_path):
    def killed():
        with atomic_file(tmp_path / "head.safetensors") as aside:
            aside.with_name(".tmpQ1").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert os.listdir(tmp_path) == []


def test_no_link_can_be_put_in_the_way(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".a.txt.tmp").symlink_to(victim)
    write_text(tmp_path / "a.txt", "new")
    assert victim.read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_all_is_flushed_before_the_rename(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (done.append(os.fstat(handle).st_ino), fsync(handle)))
    monkeypatch.setattr("os.replace", lambda old, new: (done.append("rename"), replace(old, new)))
    target = tmp_path / "deep" / "adapter"
    with atomic_folder(target) as aside:
        (aside / "part").mkdir()
        (aside / "part" / "file").write_text("content")
    number = {path.name: path.stat().st_ino for path in (tmp_path, target.parent, target, *target.rglob("*"))}
    before, after = done[: done.index("rename")], done[done.index("rename") :]
    assert {number["file"], number["part"], number["adapter"], number[tmp_path.name]} <= set(before)
    assert number["deep"] in after


def test_text_is_written_unchanged(tmp_path):
    write_text(tmp_path / "a.txt", "Mädchen\n\ud83d")
    assert (tmp_path / "a.txt").read_bytes() == "Mädchen\n".encode() + b"\xed\xa0\xbd"


def test_a_reader_never_sees_half_of_a_file_whose_writer_is_killed(tmp_path):
    target = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from gpttasks.files import write_text\n"
        "for number in range(10**6): write_text(Path(sys.argv[1]), f'{number % 10}' * 100_000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(target)]) as writer:
        while not target.exists():
            time.sleep(0.01)
        for _ in range(50):
            text = target.read_text()
            assert len(text) == 100_000
            assert len(set(text)) == 1
        writer.send_signal(signal.SIGKILL)
    text = target.read_text()
    assert len(text) == 100_000
    assert len(set(text)) == 1
