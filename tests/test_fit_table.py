"""The table of recipes/README.md, cell by cell: what it lists works, and the rest is refused for the reason given."""

import pytest
from fit_table import ADAPTATIONS, HEADS, TASKS, cell, cells_of_page, run_cell, write_data

from gpttasks.plugins import load_plugins

ELSEWHERE = {"lm-eval"}
"""A task of another tool, its fields as that describes it, and the head for it alone: see tests/plugins."""


def test_the_table_is_complete():
    plugins = load_plugins()
    mine = {name for name in plugins.names("task") if plugins.get("task", name).__module__.startswith("gpttasks_")}
    assert mine - ELSEWHERE == set(TASKS)
    assert set(plugins.names("head")) - ELSEWHERE == set(HEADS)
    assert set(plugins.names("adaptation")) == set(ADAPTATIONS)
    assert cells_of_page().keys() == {(task, head) for task in TASKS for head in HEADS}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("task", TASKS)
def test_a_cell(task, head, tiny_gpt2_folder, tmp_path):
    data = write_data(tmp_path / "data")
    reasons = {name: run_cell(task, head, name, data, tiny_gpt2_folder, tmp_path) for name in ADAPTATIONS}
    assert cell(reasons) == cells_of_page()[task, head]
