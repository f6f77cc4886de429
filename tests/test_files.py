"""Files and folders that appear whole or not at all."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gpttasks.files import atomic_file, atomic_folder, is_unfinished, write_text


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


def test_what_a_killed_process_left_is_replaced(tmp_path):
    left = tmp_path / ".adapter.tmp"
    left.mkdir()
    (left / "half").write_text("half")
    with atomic_folder(tmp_path / "adapter") as aside:
        (aside / "whole").write_text("whole")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["adapter", "whole"]


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
