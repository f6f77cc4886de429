"""A deliberately bad plugin of each kind, as an author would have written it: the kit names each fault."""

from __future__ import annotations

import pytest

from gpttasks.plugins import load_plugins
from gpttasks.testing.pytest_plugin import CHECKED
from gpttasks.testing.registered import check_registered

TASK = """
import random

from gpttasks import Example, Task, hookimpl


class Moods(Task):
    name = "moods"
    answer_columns = frozenset({"label"})
    sample_rows = (
        {"text": "Great.", "label": 1}, {"text": "I like it.", "label": 0}, {"text": "Rain again.", "label": 0}
    )

    def example(self, row):
        return Example(PROMPT, choices=("glum", "glad"), label=row.get("label"))


@hookimpl
def gpttasks_register(register):
    register.task(Moods)
"""

METRIC = """
from gpttasks import Metric, hookimpl


class Share(Metric):
    name = "share"
    scale = (0.0, 1.0)
    needs = frozenset({"label"})
    takes = frozenset({"label"})

    def sample(self, example, answer):
        return (float(answer.value == example.label),)

    def total(self, rows):
        return 100 * float(rows.mean())


@hookimpl
def gpttasks_register(register):
    register.metric(Share)
"""

PLUGINS = {
    "nondeterministic": (
        TASK.replace("PROMPT", '[row["text"], random.choice(["\\nMood:", "\\nFeeling:"]), str(random.random())]'),
        "task moods: deterministic: got different examples from the same rows, expected the same; derive random "
        "choices from",
    ),
    "leaking": (
        TASK.replace("PROMPT", """[row["text"], f"\\nMood ({row.get('label')}):"]"""),
        "task moods: label-not-in-prompt: got a different prompt with another right answer in ['label'], expected the "
        "same prompt; remove it from the prompt",
    ),
    "wrong_bounds": (
        METRIC,
        "metric share: bounds: got 100.0 from 200 samples, expected it in the scale 0.0 to 1.0; correct total(), or "
        "set scale",
    ),
    "slow_import": (
        "import time\n\ntime.sleep(1.1)\n" + TASK.replace("PROMPT", 'row["text"]'),
        "import slow_import.py: quick-import: got an import of 1.",
    ),
    "network_at_import": (
        "import socket as s\n\ntry:\n    s.create_connection(('192.0.2.1', 80))\nexcept Exception:\n    pass\n"
        + TASK.replace("PROMPT", 'row["text"]'),
        "import network_at_import.py: no-network-at-import: got socket.getaddrinfo '192.0.2.1', expected no use of the "
        "network; use the network only when a component is loaded",
    ),
}


@pytest.mark.parametrize("name", PLUGINS)
def test_the_kit_names_the_fault(name, tmp_path):
    source, wanted = PLUGINS[name]
    (tmp_path / f"{name}.py").write_text(source)
    plugins = load_plugins([tmp_path / f"{name}.py"])
    (record,) = [one for one in plugins.records if one.origin == str(tmp_path / f"{name}.py")]
    components = [("import", name), *((kind, one) for kind in CHECKED for one in record.registers.get(kind, ()))]
    found = [str(fault) for kind, one in components for fault in check_registered(plugins, record, kind, one)]
    assert any(fault.startswith(wanted) for fault in found), found


def test_a_component_that_cannot_be_made_is_a_fault(tmp_path):
    broken = "def __init__(self, options=None):\n        raise KeyError('nothing')\n\n    def example"
    made = TASK.replace("PROMPT", 'row["text"]').replace("def example", broken)
    (tmp_path / "unmade.py").write_text(made)
    plugins = load_plugins([tmp_path / "unmade.py"])
    record = plugins.owner("task", "moods")
    (fault,) = check_registered(plugins, record, "task", "moods")
    assert fault.rule == "can-be-used"
    assert "KeyError: 'nothing'" in fault.message
