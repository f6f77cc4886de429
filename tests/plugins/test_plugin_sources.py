"""The digest of a plugin's source files."""

import os
import py_compile
import subprocess
import sys

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


def test_data_of_a_package_count(tmp_path):
    package = tmp_path / "gpttasks_with_data"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "prompt.txt", "__pycache__/x.pyc", ".prompt.txt.swp"):
        (package / name).write_text("")
    record = PluginRecord("data", "gpttasks-with-data", "1.0", "gpttasks_with_data:plugin", "entry point")
    assert sorted(name for name, _ in source_files(record)) == ["__init__.py", "prompt.txt"]
    before = source_digest(record)
    (package / "__pycache__" / "x.pyc").write_text("1")
    assert source_digest(record) == before
    (package / "prompt.txt").write_text("Other?")
    assert source_digest(record) != before


PLUGIN = """
from pathlib import Path
from gpttasks import hookimpl
import words_of_plugin

HERE = Path(__file__).parent
QUESTION = (HERE / "question.txt").read_text() + words_of_plugin.WORDS
(HERE / "log.txt").write_text("loaded")

@hookimpl
def gpttasks_register(register):
    print(QUESTION)
"""


def loaded(plugin):
    """What a new process prints when it loads the plugin, and its digest."""
    code = "import sys; from pathlib import Path; from gpttasks.plugins import load_plugins, sources;"
    code += "found = load_plugins([Path(sys.argv[1])]).records[-1]; print(sources.source_digest(found))"
    environment = {**os.environ, "GPTTASKS_PLUGINS": "", "PYTHONDONTWRITEBYTECODE": ""}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(plugin.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, str(plugin)], env=environment, capture_output=True, text=True, check=True
    )
    printed, digest = done.stdout.split()
    return printed, digest


def test_what_runs_is_the_source_and_the_files_that_a_plugin_reads_count(tmp_path):
    folder = tmp_path / "plug"
    folder.mkdir()
    plugin, words = folder / "film.py", folder / "words_of_plugin.py"
    plugin.write_text(PLUGIN)
    words.write_text("from pathlib import Path\nWORDS = Path(__file__).with_name('words.txt').read_text()\n")
    (folder / "words.txt").write_text("good")
    (folder / "question.txt").write_text("is-it-")
    (folder / "unused.txt").write_text("")
    first = loaded(plugin)
    assert first[0] == "is-it-good"
    for file, code in ((words, "WORDS = 'evil'\n"), (plugin, PLUGIN.replace("print(QUESTION)", "print('ruse')"))):
        status = file.stat()  # compile other code with the time and size of the source
        source = file.read_text()
        file.write_text(code.ljust(len(source)))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        py_compile.compile(str(file))
        file.write_text(source)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "log.txt").write_text("something else")
    (folder / "unused.txt").write_text("something else")
    assert loaded(plugin) == first
    (folder / "question.txt").write_text("was-it-")
    second = loaded(plugin)
    (folder / "words.txt").write_text("fine")
    third = loaded(plugin)
    assert (second[0], third[0]) == ("was-it-good", "was-it-fine")
    assert len({first[1], second[1], third[1]}) == 3
