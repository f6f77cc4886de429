"""A plugin with the metric ``wrong``, the share of wrong choices, a reader and a filter; a recipe that scores it."""

from __future__ import annotations

import json
from pathlib import Path

METRIC = """
from gpttasks import Metric, Row, hookimpl

class Wrong(Metric):
    name = "wrong"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    def sample(self, example, answer):
        return (float(answer.value != example.label),)
    def total(self, rows):
        return float(rows[:, 0].mean())

def read(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield Row({"text": line}, file=str(path), line=number)

@hookimpl
def gpttasks_register(register):
    register.metric(Wrong)
    register.reader(".hash", read)
    register.template_filter("shout", str.upper)
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
