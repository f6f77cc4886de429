"""A plugin with the metric ``wrong``, the share of wrong choices, and a recipe that scores it."""

from __future__ import annotations

import json
from pathlib import Path

METRIC = """
from gpttasks import Metric, hookimpl

class Wrong(Metric):
    name = "wrong"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    def sample(self, example, answer):
        return (float(answer.value != example.label),)
    def total(self, rows):
        return float(rows[:, 0].mean())

@hookimpl
def gpttasks_register(register):
    register.metric(Wrong)
"""
RECIPE = """\
backbone: mock
task:
  use: classification
  data: {path: data}
  prompt: "{{ text }}\\nKind:"
  labels: [bad, good]
head: choice
score: {split: test, metrics: [accuracy, wrong]}
"""


def write_wrong(folder: Path) -> None:
    """Write ``wrong.py`` with the plugin, ``r.yaml`` with the recipe, and six rows of data."""
    (folder / "data").mkdir()
    rows = [{"text": f"film {number}", "label": number % 2} for number in range(6)]
    (folder / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "wrong.py").write_text(METRIC)
