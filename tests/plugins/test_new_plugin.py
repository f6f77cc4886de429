"""``gpttasks new plugin``: a package that is built, installed, checked and tested as its author would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpttasks.cli import main
from gpttasks.plugins.new import KINDS, new_plugin


def run(*line: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_type_checks_and_passes_its_own_tests(
    kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = new_plugin("two-words", kind, tmp_path / "made")  # type: ignore[arg-type]
    python = sys.executable
    run(python, "-m", "ruff", "check", ".", folder=folder)
    run(python, "-m", "ruff", "format", "--check", ".", folder=folder)
    run(python, "-m", "mypy", "--cache-dir", str(tmp_path_factory.getbasetemp() / "mypy"), folder=folder)
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run(python, *pip, "--target", str(site), ".", folder=folder)
    installed = {"PYTHONPATH": str(site)}
    assert f"check_{kind}(" in (folder / "tests" / "test_two_words.py").read_text("utf-8"), "its tests use the kit"
    assert "passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=folder, **installed)
    shown = run(python, "-m", "gpttasks", "show", kind, "two-words", folder=tmp_path, **installed)
    assert "gpttasks-two-words" in run(python, "-m", "gpttasks", "list", "plugins", folder=tmp_path, **installed)
    assert "two-words" in shown


@pytest.mark.parametrize("name", ["Sarcasm", "1st", "a_b", "a--b", ""])
def test_names_that_cannot_be_are_told(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "plugin", name]) == 2
    assert "expected lower-case words" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "plugin", "sarcasm"]) == 0
    assert "gpttasks run sarcasm-demo" in capsys.readouterr().err
    assert main(["new", "plugin", "sarcasm", "--kind", "head"]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
