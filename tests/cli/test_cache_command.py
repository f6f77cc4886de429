"""``gpttasks cache``: what it shows, and what it removes."""

import json
import sqlite3

import pytest

from gpttasks.cli import main
from gpttasks.engine.cache import cache_file
from gpttasks.engine.reply_store import ReplyStore


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("GPTTASKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GPTTASKS_CACHE_SIZE", "20MB")
    return cache_file()


def shown(capsys, *arguments):
    assert main(["cache", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_empty_cache_is_not_created(file, capsys):
    document = shown(capsys)
    assert (document["replies"], document["bytes"], document["limit"]) == (0, 0, 20_000_000)
    assert shown(capsys, "--clear")["removed"] == 0
    assert not file.parent.exists()


def test_it_shows_and_removes_replies(file, capsys):
    store = ReplyStore(file)
    store.write([(b"a", "reply"), (b"b", "reply")])
    store.done()
    file.with_name("replies-3.sqlite").write_text("of an old version")
    file.with_name("notes.txt").write_text("of the user")
    assert main(["cache"]) == 0
    out = capsys.readouterr().out
    assert f"file         {file}" in out
    assert "replies      2" in out
    assert "of at most 20.0 MB" in out
    assert "replies-3.sqlite" in out
    document = shown(capsys, "--clear")
    assert (document["removed"], document["replies"], document["other_files"]) == (2, 0, [])
    assert sorted(path.name for path in file.parent.iterdir()) == ["notes.txt", file.name]


def test_what_a_run_needs_now_stays(file, capsys):
    ReplyStore(file).write([(b"a", "reply")])
    document = shown(capsys, "--clear")
    assert (document["removed"], document["replies"], document["live_runs"]) == (0, 1, 1)


def test_it_says_when_the_cache_is_off(monkeypatch, capsys):
    monkeypatch.setenv("GPTTASKS_CACHE", "off")
    assert main(["cache", "--clear"]) == 0
    assert "the cache is off" in capsys.readouterr().err


def test_a_damaged_file_is_named(file, capsys):
    file.parent.mkdir()
    file.write_bytes(b"no database at all, " * 100)
    assert main(["cache"]) == 0
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("values", ["('x', 'y', 'z', 'never')", "(1, 2, 3, 1e300)", "(x'ff', x'ff', x'ff', x'ff')"])
def test_rows_of_wrong_types_are_shown(file, capsys, values):
    ReplyStore(file).state()
    with sqlite3.connect(file) as connection:
        connection.execute(f"INSERT INTO replies (key, reply, checksum, used) VALUES {values}")
    connection.close()
    assert shown(capsys)["replies"] == 1


def test_a_wrong_size_is_one_message(file, monkeypatch, capsys):
    monkeypatch.setenv("GPTTASKS_CACHE_SIZE", "much")
    assert main(["cache"]) == 2
    assert "GPTTASKS_CACHE_SIZE is 'much', expected a size such as 500MB" in capsys.readouterr().err
