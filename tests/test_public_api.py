"""What ``import gpttasks`` offers, what it costs, and that the bundled plugins use nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gpttasks

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "evaluate", "numpy", "pyarrow")
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))


@pytest.mark.parametrize("name", gpttasks.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gpttasks, name) is not None
    assert name in dir(gpttasks)


def test_run_is_the_function_whatever_was_imported_before():
    code = "import gpttasks.runner, gpttasks; print(type(gpttasks.run).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "function"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'gpttasks' has no attribute 'Tsak'"):
        gpttasks.Tsak  # noqa: B018 - looking it up is the test


def test_plugin_authors_names_load_nothing_heavy():
    code = (
        "import sys, gpttasks, gpttasks_classification as plugin\n"
        "names = set(gpttasks.__all__) - {'run'}\n"
        "[getattr(gpttasks, name) for name in names]\n"
        "options = plugin.ClassificationOptions(prompt='{{ text | passage }}', labels=['a', 'b'])\n"
        "plugin.Classification(options)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not PLUGIN_FILES, reason="the sources of the bundled plugins are not here")
def test_bundled_plugins_import_only_public_names():
    used = set()
    for path in PLUGIN_FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.split(".")[0] == "gpttasks"], path
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpttasks":
                assert (node.module, node.level) == ("gpttasks", 0), path
                used.update(alias.name for alias in node.names)
    assert used
    assert used <= set(gpttasks.__all__)
