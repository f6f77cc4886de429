"""Our own components pass the kit first, and ``pytest --gpttasks`` runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fit_table import TASKS, rows

from gpttasks.plugins import load_plugins
from gpttasks.testing import check_task
from gpttasks.testing.pytest_plugin import CHECKED
from gpttasks.testing.registered import CannotCheck, check_registered

UNCHECKED = {"pretrained-audio", "hf", "run", "lm-eval"}
"""Components that need files or another library: for each the kit says what to add."""
PLUGINS = load_plugins()
OURS = [
    (record, kind, name)
    for record in PLUGINS.records
    if record.distribution == "gpttasks"
    for kind in ("import", *CHECKED)
    for name in ([record.name] if kind == "import" else record.registers.get(kind, []))
]


@pytest.mark.parametrize(("record", "kind", "name"), OURS, ids=[f"{kind}-{name}" for _, kind, name in OURS])
def test_our_own_components(record, kind, name):
    if kind != "import" and name in UNCHECKED:
        with pytest.raises(CannotCheck, match=r"needs .*: add (them|examples) as the class attribute"):
            check_registered(PLUGINS, record, kind, name)
    else:
        assert check_registered(PLUGINS, record, kind, name) == []


@pytest.mark.parametrize("name", TASKS)
def test_our_own_tasks(name):
    component = PLUGINS.get("task", name)
    data = rows(6, 0)
    for row in data[::2]:
        row["heard"] = ["nothing", row["text"]]  # the best hypothesis is not always the first
    assert check_task(component(component.Options(**TASKS[name])), data) == []


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
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
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
    assert "task sarcasm: label-not-in-prompt: got a different prompt with another right answer in ['label']" in said


def test_pytest_says_what_a_component_lacks(tmp_path):
    source = PLUGIN.replace("LEAK, ", "").replace("sample_rows = ", "other = ")
    (tmp_path / "bare.py").write_text(source)
    code, said = run_pytest(tmp_path, "--gpttasks=bare.py")
    wanted = "task sarcasm: it needs rows: add two or more as the class attribute sample_rows"
    assert (code, wanted in said.partition("gpttasks: not checked")[2]) == (0, True), said


def test_pytest_refuses_an_unknown_name(tmp_path):
    code, said = run_pytest(tmp_path, "--gpttasks=nothing")
    assert code == 4, said
    assert "there is no plugin 'nothing'; known: core" in said


def test_pytest_names_the_fault_of_a_file_that_cannot_be_loaded(tmp_path):
    (tmp_path / "silent.py").write_text("import socket\nsocket.create_connection(('192.0.2.1', 80))\n")
    code, said = run_pytest(tmp_path, "--gpttasks=silent.py")
    assert code == 1, said
    assert "import silent.py: no-network-at-import: got socket.getaddrinfo" in said
    (tmp_path / "empty.py").write_text("")
    code, said = run_pytest(tmp_path, "--gpttasks=empty.py")
    assert code == 1, said
    assert "import empty: registers: got" in said
    assert "it has no hook function" in said


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
