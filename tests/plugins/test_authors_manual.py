"""``plugins/README.md``, carried out from top to bottom as an author would, and its list of hooks."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from authors_manual import MANUAL, Commands, Shell, Written, fresh_environment, named_only, steps, with_lists_renewed

from gpttasks.cli import main
from gpttasks.plugins import hookspecs
from gpttasks.plugins.hook_list import BEGIN, END, hook_list, renewed

TEXT = MANUAL.read_text("utf-8")
PACKAGES = ("gpttasks-pronouns", "gpttasks-brier", "gpttasks-channel")


def asks_for_twine(step: Commands) -> bool:
    return any(command.startswith("twine") for command in step.commands)


def carry_out(step: Commands, shell: Shell) -> None:
    """Type the commands of a step: each must succeed, and their output must be the one in the manual."""
    output = ""
    for command in step.commands:
        took = shell.type(command)
        output += took.output
        assert took.status == 0, f"{step.place}: `{command}` ended with {took.status}:\n{output}"
    assert step.fits(output), f"{step.place}: wanted\n{step.printed}\ngot\n{output}"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """In a separate environment. The cache of mypy is the one that the tests of ``gpttasks new plugin`` fill."""
    folder = tmp_path_factory.mktemp("author")
    (folder / "work").mkdir()
    cache = {"MYPY_CACHE_DIR": str(tmp_path_factory.getbasetemp() / "mypy")}
    return Shell(folder / "work", fresh_environment(folder / "environment") | cache)


@pytest.fixture(scope="module")
def work(shell: Shell) -> Path:
    """The author's folder after all steps but the one that needs twine."""
    folder = shell.folder
    for step in steps(TEXT):
        if isinstance(step, Written):
            step.write(shell.folder)
        elif not asks_for_twine(step):
            carry_out(step, shell)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "head", "metric", "shown"),
    [
        ("gpttasks-pronouns", "choice", "accuracy", "0.5000"),
        ("gpttasks-brier", "choice", "brier", "0.5829"),
        ("gpttasks-channel", "channel", "accuracy", "0.5"),  # trained: another processor rounds otherwise
    ],
)
def test_each_plugin_ends_in_a_scored_run(work: Path, package: str, head: str, metric: str, shown: str) -> None:
    files = list((work / package / "runs").glob("*/run.json"))
    assert len(files) == (2 if package == "gpttasks-pronouns" else 1), "that of the task was repeated"
    for file in files:
        record = json.loads(file.read_text("utf-8"))
        assert record["state"] == "finished"
        assert f"use: {head}" in file.with_name("recipe.yaml").read_text("utf-8")
        score = record["scores"][metric]
        assert score["low"] <= score["value"] <= score["high"]
        assert f"{score['value']:.4f}".startswith(shown)
    assert re.search(rf"^{metric} +{shown}", TEXT, re.MULTILINE), "the manual shows the score"


@pytest.mark.slow
def test_what_the_author_typed_is_clean(work: Path, shell: Shell) -> None:
    for package in PACKAGES:
        for line in ("ruff check .", "ruff format --check .", "mypy"):
            took = shell.type(f"cd {work / package} && {line}")
            assert took.status == 0, f"{package}: {line}\n{took.output}"


@pytest.mark.slow
def test_what_ci_does_is_what_the_manual_does(work: Path) -> None:
    typed = {command for step in steps(TEXT) if isinstance(step, Commands) for command in step.commands}
    ci = (work / "gpttasks-pronouns" / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    for command in ("ruff check .", "mypy", "pytest --gpttasks=pronouns"):
        assert command in ci
    assert {"ruff check .", "pytest -q --gpttasks=pronouns"} <= typed


@pytest.mark.slow
def test_an_index_would_take_the_distributions(work: Path, shell: Shell) -> None:
    pytest.importorskip("twine", reason="twine is not installed")
    shell.folder = work
    (step,) = (step for step in steps(TEXT) if isinstance(step, Commands) and asks_for_twine(step))
    carry_out(step, shell)


def test_only_the_upload_is_not_carried_out() -> None:
    assert named_only(TEXT) == ["twine upload gpttasks-pronouns/dist/*"]


def test_a_block_that_no_step_takes_is_told() -> None:
    with pytest.raises(ValueError, match=r"README.md:3: got a block 'python'"):
        steps("Some words.\n\n```python\nx = 1\n```\n")


def test_the_list_of_hooks_is_that_of_hookspecs() -> None:
    assert renewed(TEXT) == TEXT, "the hooks have changed: python -m gpttasks.plugins.hook_list plugins/README.md"


def test_hooks_without_markers_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a line"):
        renewed("no markers here\n")


def test_every_hook_is_listed_with_all_that_is_said_of_it() -> None:
    listed = TEXT.partition(BEGIN)[2].partition(END)[0]
    hooks = [value for name, value in vars(hookspecs).items() if hasattr(value, "gpttasks_spec")]
    assert len(hooks) == listed.count("\n#### `gpttasks_") >= 6
    for hook in hooks:
        _, _, entry = listed.partition(f"#### `{hook.__name__}(")
        said = entry.partition("\n#### ")[0]
        for words in hook.__doc__.replace("``", "`").replace("::", ":").split():
            assert words in said


def test_a_new_hook_goes_into_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    source = '@hookspec\ndef gpttasks_paused(run: RunInfo, hours: float) -> None:\n    """The run ``rests``."""\n'
    namespace = dict(vars(hookspecs))
    exec(source, namespace)
    monkeypatch.setattr(hookspecs, "gpttasks_paused", namespace["gpttasks_paused"], raising=False)
    assert "#### `gpttasks_paused(run: RunInfo, hours: float)`\n\nThe run `rests`." in hook_list()


def test_the_list_of_rules_is_that_of_the_kit() -> None:
    assert with_lists_renewed(TEXT) == TEXT, "the kit's rules have changed: python tests/authors_manual.py"


def test_the_counts_are_those_of_the_manual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    counting = benchmark()
    counted = json.loads((MANUAL.parents[1] / "benchmarks" / "results" / "authors_path.json").read_text("utf-8"))
    for way in counting.ways(TEXT):
        row = counted["ways"][way.what]
        assert main(shlex.split(way.commands[0])[1:]) == 0
        code, rows = counting.lines_of(way, tmp_path / shlex.split(way.commands[1])[1])
        found = (len(way.commands), code, rows)
        assert found == (row["commands"], row["lines"], row["rows"]), "run benchmarks/authors_path.py again"
        assert counting.table_row(way.what, row) in TEXT, "the manual shows other counts"


def benchmark() -> ModuleType:
    """``benchmarks/authors_path.py`` as a module."""
    spec = importlib.util.spec_from_file_location("authors_path", MANUAL.parents[1] / "benchmarks" / "authors_path.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
