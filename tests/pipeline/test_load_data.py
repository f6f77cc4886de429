"""The examples that a run loads: limits of splits that are trained on and scored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gpttasks.cli import main
from gpttasks.pipeline.session import Session
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe


def test_a_split_that_is_trained_on_and_scored_has_both_limits(tmp_path: Path) -> None:
    rows = [f"A {word} film {number},{word}" for number in range(20) for word in ("good", "bad")]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (tmp_path / "small.yaml").write_text(
        """
backbone: nano
task:
  use: classification
  data: {path: train.csv}
  prompt: "{{ text | passage }} ="
  labels: [bad, good]
head: choice
adapt: lora
train: {limit: 30}
score: {split: train, limit: 6, metrics: [accuracy]}
"""
    )
    plugins = load_plugins()
    recipe = load_recipe(str(tmp_path / "small.yaml"), [], plugins)
    sets = Session(plugins).with_examples(recipe).sets
    assert len(sets["train"].examples) == 30
    assert len(sets["scored"].examples) == 6


def test_any_number_of_shots_from_a_pool_scores_the_same_examples(tmp_path: Path) -> None:
    rows = [f"A {word} film {number},{word}" for number in range(20) for word in ("good", "bad")]
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (tmp_path / "small.yaml").write_text(
        """
backbone: nano
task:
  use: classification
  data: {path: test.csv, splits: {test: test.csv}}
  prompt: "{{ text | passage }} ="
  labels: [bad, good]
head: choice
adapt: none
score: {split: test, shots_from: pool, metrics: [accuracy]}
"""
    )
    plugins = load_plugins()
    scored = []
    for shots in (0, 2):
        recipe = load_recipe(str(tmp_path / "small.yaml"), [f"score.shots={shots}"], plugins)
        parts = Session(plugins).with_examples(recipe)
        scored.append([example.id for example in parts.scored])
        assert len(parts.scored) + len(parts.sets["pool"].examples) == 40
        assert (parts.shots is None) == (shots == 0)
    assert scored[0] == scored[1]


SHOTS = """
backbone: mock
task:
  use: generation
  data: {path: data}
  prompt: "{{ text }}"
  target: "{{ want }}"
head: generate
score: {split: test, shots: 2, metrics: [exact_match]}
"""


@pytest.mark.parametrize("command", [["run"], ["check", "--data"]])
def test_shots_without_a_training_split_lead_to_a_way_that_works(tmp_path, monkeypatch, capsys, command):
    """The message comes before any model is loaded, and what it says works as it is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = "".join(json.dumps({"text": f"word {number}", "want": str(number)}) + "\n" for number in range(40))
    (tmp_path / "data" / "test.jsonl").write_text(rows)
    (tmp_path / "few.yaml").write_text(SHOTS)
    assert main([*command, "few.yaml"]) == 2
    err = capsys.readouterr().err
    assert "has no split for train; the splits are 'test', from which the 2 shots would come; " in err
    (hint,) = re.findall(r"; (\S+=\S+) takes them from test and does not score them", err)
    assert hint == "score.shots_from=pool"
    assert main([*command, "few.yaml", hint]) == 0
    (tmp_path / "data" / "test.jsonl").rename(tmp_path / "data" / "train.jsonl")
    assert main([*command, "few.yaml", "score.split=validation", "task.data.holdout={}", hint]) == 2
    assert "shots would come" not in capsys.readouterr().err, "it is the scored split that is missing"
