"""What ``import gpttasks`` offers, what it costs, and that the bundled plugins use nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpttasks

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "peft", "accelerate", "datasets", "evaluate", "numpy", "pyarrow"}
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))


def modules_after(code, folder):
    """The names of all top-level modules that a fresh interpreter has imported after it ran ``code`` in ``folder``."""
    code += "\nimport json, sys; print(); print(json.dumps([name for name in sys.modules if '.' not in name]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", gpttasks.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gpttasks, name) is not None
    assert name in dir(gpttasks)


def test_what_a_trained_head_needs_is_public():
    """The states and the targets of a forward pass, and the tokenizer with its end token."""
    assert {"states_at", "last_states", "targets"} <= vars(gpttasks.Forward).keys()
    assert {"nll", "logprobs"} <= vars(gpttasks.Targets).keys()
    assert {"encode", "offsets", "token_ends"} <= vars(gpttasks.Tokenizer).keys()
    assert "end" in gpttasks.Tokenizer.__annotations__


def test_run_is_the_function_whatever_was_imported_before():
    code = "import gpttasks.pipeline.runner, gpttasks; print(type(gpttasks.run).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "function"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'gpttasks' has no attribute 'Tsak'"):
        gpttasks.Tsak  # noqa: B018 - looking it up is the test


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    modules = modules_after("import gpttasks", tmp_path)
    assert "gpttasks" in modules
    assert not modules & (HEAVY | {"pydantic", "jinja2", "ruamel", "typer", "rich"})


def test_plugin_authors_names_load_nothing_heavy(tmp_path):
    code = (
        "import gpttasks, gpttasks_classification.single as plugin\n"
        "names = set(gpttasks.__all__) - {'run'}\n"
        "[getattr(gpttasks, name) for name in names]\n"
        "options = plugin.ClassificationOptions(prompt='{{ text | passage }}', labels=['a', 'b'])\n"
        "plugin.Classification(options)\n"
    )
    assert not modules_after(code, tmp_path) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["check", "imdb-lora"], ["list", "plugins"]], ids=" ".join)
def test_quick_commands_load_nothing_heavy(arguments, tmp_path):
    code = f"from gpttasks.cli import main\nassert main({arguments!r}) == 0"
    assert not modules_after(code, tmp_path) & HEAVY


def private_names(source):
    """What the text of a plugin takes from gpttasks that is not public: submodules, and names beyond ``__all__``."""
    tree = ast.parse(source)
    modules, names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            modules.add(node.module)
            if node.module == "gpttasks":
                names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gpttasks":
            names.add(node.attr)
    return {module for module in modules if module.startswith("gpttasks.")} | (names - set(gpttasks.__all__))


def test_there_are_bundled_plugins():
    assert {path.parent.name for path in PLUGIN_FILES} >= {
        "gpttasks_classification",
        "gpttasks_generation",
        "gpttasks_lm_eval",
        "gpttasks_qa",
        "gpttasks_speech",
        "gpttasks_translation",
    }


@pytest.mark.parametrize("path", [path.relative_to(ROOT) for path in PLUGIN_FILES], ids=str)
def test_bundled_plugins_use_only_public_names(path):
    assert private_names((ROOT / path).read_text("utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("from gpttasks import Example, Task", set()),
        ("import gpttasks\nclass Own(gpttasks.Task): ...", set()),
        ("from .words import WORDS\nimport json\nimport gpttasks_other.words", set()),
        ("from gpttasks.tasks.task import Task", {"gpttasks.tasks.task"}),
        ("import gpttasks.tasks.task", {"gpttasks.tasks.task"}),
        ("def f():\n    from gpttasks import Task, runner", {"runner"}),
        ("import gpttasks\ngpttasks.heads.Head", {"heads"}),
    ],
)
def test_private_names_are_found(source, private):
    assert private_names(source) == private
