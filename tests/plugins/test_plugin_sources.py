"""The digest of a plugin's source files."""

import pytest

from gpttasks.plugins import sources
from gpttasks.plugins.registry import PluginRecord
from gpttasks.plugins.sources import source_files


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))


def source_digest(plugin):
    """As in a new process."""
    sources._digest.cache_clear()
    return sources.source_digest(plugin)


def of_file(file):
    return PluginRecord(file.stem, module="gpttasks_file_x", origin=str(file), sha256="-")


def test_a_file_and_the_modules_beside_it(tmp_path):
    plugin = tmp_path / "plug.py"
    plugin.write_text("import json\nimport numpy\n\ndef f():\n    from helper_of_plug import g\n")
    helper = tmp_path / "helper_of_plug.py"
    helper.write_text("import package_of_plug.deep\n")
    (tmp_path / "package_of_plug").mkdir()
    for name in ("__init__.py", "deep.py", "unused.py"):
        (tmp_path / "package_of_plug" / name).write_text("")
    (tmp_path / "stranger.py").write_text("")
    assert sorted(name for name, _ in source_files(of_file(plugin))) == [
        "",
        "__init__.py",
        "deep.py",
        "helper_of_plug.py",
        "unused.py",
    ]
    before = source_digest(of_file(plugin))
    (tmp_path / "stranger.py").write_text("x = 1")
    assert source_digest(of_file(plugin)) == before
    (tmp_path / "package_of_plug" / "deep.py").write_text("x = 1")
    assert source_digest(of_file(plugin)) != before


def test_the_name_of_a_file_does_not_count(tmp_path):
    for name in ("one.py", "other.py"):
        (tmp_path / name).write_text("x = 1\n")
    assert source_digest(of_file(tmp_path / "one.py")) == source_digest(of_file(tmp_path / "other.py"))


def test_a_package_counts_whole(tmp_path):
    package = tmp_path / "gpttasks_some"
    (package / "part").mkdir(parents=True)
    for name in ("__init__.py", "heads.py", "part/deep.py"):
        (package / name).write_text("")
    record = PluginRecord("some", "gpttasks-some", "1.0", "gpttasks_some.heads:plugin", "entry point")
    before = source_digest(record)
    (package / "part" / "deep.py").write_text("x = 1")
    assert source_digest(record) != before
    assert len(source_files(record)) == 3


def test_a_file_that_is_not_python_has_a_digest_too(tmp_path):
    plugin = tmp_path / "plug.py"
    plugin.write_text("def (")
    assert len(source_digest(of_file(plugin))) == 64


def test_a_process_has_the_digest_of_the_code_that_it_imported(tmp_path):
    plugin = tmp_path / "once.py"
    plugin.write_text("x = 1")
    before = source_digest(of_file(plugin))
    plugin.write_text("x = 2")
    assert sources.source_digest(of_file(plugin)) == before != source_digest(of_file(plugin))
