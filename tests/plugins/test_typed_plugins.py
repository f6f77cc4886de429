"""The plugins in ``typed/`` pass mypy in strict mode, without ignored lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((Path(__file__).parent / "typed").glob("*.py"))


@pytest.mark.slow
def test_mypy_accepts_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = str(tmp_path_factory.getbasetemp() / "mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, *map(str, PLUGINS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_they_have_no_exceptions(plugin: Path) -> None:
    assert "type: ignore" not in plugin.read_text()
