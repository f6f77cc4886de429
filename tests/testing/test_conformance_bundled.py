"""Our own components pass the kit first, and ``pytest --gpttasks`` runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fit_table import TASKS, rows

from gpttasks.plugins import load_plugins
from gpttasks.testing import check_task
from gpttasks.testing.registered import Undriven, check_registered

UNDRIVEN = {"pretrained-audio", "hf", "run", "lm-eval"}
"""Those that need files or another library."""
PLUGINS = load_plugins()
OURS = [
    (record, kind, name)
    for record in PLUGINS.records
    if record.distribution == "gpttasks"
    for kind in ("import", "head", "metric", "encoder", "backbone")
    for name in ([record.name] if kind == "import" else record.registers.get(kind, []))
]


@pytest.mark.parametrize(("record", "kind", "name"), OURS, ids=[f"{kind}-{name}" for _, kind, name in OURS])
def test_our_own_components(record, kind, name):
    if kind != "import" and name in UNDRIVEN:
        with pytest.raises(Undriven, match="needs"):
            check_registered(PLUGINS, record, kind, name)
    else:
        assert check_registered(PLUGINS, record, kind, name) == []


@pytest.mark.parametrize("name", TASKS)
def test_our_own_tasks(name):
    component = PLUGINS.get("task", name)
    assert check_task(component(component.Options(**TASKS[name])), rows(6, 0)) == []


SAMPLED = [name for name in PLUGINS.names("task") if PLUGINS.get("task", name).sample_rows]


def test_bundled_tasks_bring_their_own_rows():
    assert {"classification", "generation", "question-answering", "translation"} <= set(SAMPLED)


@pytest.mark.parametrize("name", SAMPLED)
def test_tasks_on_the_rows_that_they_bring(name):
    assert check_registered(PLUGINS, PLUGINS.owner("task", name), "task", name) == []


PLUGIN = """
from gpttasks import Example, Task, hookimpl

class Sarcasm(Task):
    name = "sarcasm"
    answer_columns = frozenset({"label"})
    sample_rows = ({"tweet": "Great.", "label": 1}, {"tweet": "I like it.", "label": 0})

    def example(self, row):
        prompt = [row["tweet"], LEAK, "\\nThis is"]
        return Example(prompt, choices=("sincere", "sarcastic"), label=row.get("label"))

@hookimpl
def gpttasks_register(register):
    register.task(Sarcasm)
"""


def run_pytest(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_pytest_runs_the_kit(tmp_path):
    (tmp_path / "good.py").write_text(PLUGIN.replace("LEAK, ", ""))
    code, said = run_pytest(tmp_path, "--gpttasks=good.py")
    assert (code, "2 passed" in said) == (0, True), said


def test_pytest_names_the_fault(tmp_path):
    (tmp_path / "bad.py").write_text(PLUGIN.replace("LEAK", "str(row.get('label'))"))
    code, said = run_pytest(tmp_path, "--gpttasks=bad.py")
    assert code == 1, said
    assert "task sarcasm: label-not-in-prompt: got another prompt with another right answer in ['label']" in said


def test_pytest_says_what_a_component_lacks(tmp_path):
    source = PLUGIN.replace("LEAK, ", "").replace("sample_rows = ", "other = ")
    (tmp_path / "bare.py").write_text(source)
    code, said = run_pytest(tmp_path, "--gpttasks=bare.py")
    assert (code, "it needs rows: give some in the class attribute sample_rows" in said) == (0, True), said


def test_pytest_refuses_an_unknown_name(tmp_path):
    code, said = run_pytest(tmp_path, "--gpttasks=nothing")
    assert code == 4, said
    assert "there is no plugin 'nothing'; known: core" in said


def test_nothing_is_loaded_without_the_option(tmp_path):
    code = (
        "import sys, gpttasks.testing, gpttasks.testing.pytest_plugin\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_kit_needs_no_pytest(tmp_path):
    code = "import sys, gpttasks.testing as kit; [getattr(kit, n) for n in kit.__all__]; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
