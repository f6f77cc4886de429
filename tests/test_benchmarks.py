"""That the benchmark scripts, which no test runs, take from gpttasks only what is there."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def imported_names(source):
    """(module, name) of each name that a script imports from gpttasks, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpttasks":
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_name_imported_from_gpttasks_exists(script):
    for module, name in imported_names(script.read_text("utf-8")):
        if not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")  # a submodule, or an error that names it
