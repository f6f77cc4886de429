"""Digests of large files are remembered, and only as long as the file is the same."""

import hashlib
import os
import stat

import pytest

from gpttasks import remembered_digests
from gpttasks.remembered_digests import LARGE, NAME, digests_of


@pytest.fixture
def read(monkeypatch):
    """The files that were read."""
    files = []
    real = remembered_digests.file_digest
    monkeypatch.setattr(remembered_digests, "file_digest", lambda file: files.append(file.name) or real(file))
    return files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPTTASKS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered_digests, "JUST_CHANGED", 0.0)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"w" * LARGE)
    return file


def test_a_large_file_is_read_once(weights, cache, read):
    small = weights.with_name("config.json")
    small.write_text("{}")
    files = {"weights": weights, "config": small}
    expected = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert digests_of(files) == digests_of(files) == expected
    assert read == ["model.safetensors", "config.json", "config.json"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_file_that_changed_is_read_again(weights, cache, read):
    before = digests_of({"w": weights})
    times = weights.stat()
    weights.write_bytes(b"v" * LARGE)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # the change time still differs
    assert digests_of({"w": weights}) != before
    other = weights.with_name("other")
    other.write_bytes(b"u" * LARGE)
    other.replace(weights)
    assert digests_of({"w": weights})["w"] == hashlib.sha256(b"u" * LARGE).hexdigest()
    assert len(read) == 3


def test_own_files_are_always_read(weights, cache, read):
    digests_of({"w": weights})
    digests_of({"w": weights}, remembered=False)
    assert len(read) == 2


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"/x": 3}', '{"FILE": [1, 2, 3, 4, 5, "ab"]}', "\0", "[" * 100_000]
)
def test_a_damaged_cache_changes_no_digest(weights, cache, content):
    cache.mkdir()
    (cache / NAME).write_text(content.replace("FILE", str(weights)))
    assert digests_of({"w": weights})["w"] == hashlib.sha256(b"w" * LARGE).hexdigest()


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path, cache, read):
    file = tmp_path / "w"
    file.write_bytes(b"w" * LARGE)
    digests_of({"w": file})
    digests_of({"w": file})
    assert len(read) == 2
    assert not (cache / NAME).exists()


def test_without_a_cache_every_file_is_read(weights, monkeypatch, read):
    monkeypatch.setenv("GPTTASKS_CACHE", "off")
    digests_of({"w": weights})
    digests_of({"w": weights})
    assert len(read) == 2
