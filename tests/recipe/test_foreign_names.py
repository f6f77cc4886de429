"""Names of other tools: the hint gives ours, and ours exists."""

from __future__ import annotations

import re

import pytest

from gpttasks.cli import main
from gpttasks.cli.recipe_keys import key_rows
from gpttasks.plugins import load_plugins
from gpttasks.recipe import foreign_names
from gpttasks.recipe.foreign_names import key_hint


def known_keys():
    plugins = load_plugins([])
    keys = {row[0] for row in key_rows()}
    for section, kind, names in (
        ("adapt", "adaptation", ["lora"]),
        ("head", "head", ["generate"]),
        ("task", "task", ["generation", "multiple-choice"]),
    ):
        for name in names:
            keys |= {f"{section}.{option}" for option in plugins.get(kind, name).Options.model_fields}
    return keys


def test_every_key_that_a_hint_names_exists():
    known = known_keys()
    for ours in foreign_names._KEYS.values():
        stem = ours
        while stem not in known and stem.rpartition(".")[0] in ("adapt.peft", "task.data.splits"):
            stem = stem.rpartition(".")[0]
        assert stem in known or stem in ("adapt.use",), ours


def test_every_metric_that_a_hint_names_exists():
    metrics = load_plugins([]).names("metric")
    for ours in foreign_names._METRICS.values():
        found = re.match(r"(?:\{use: |\[)?(\w+)", ours)
        assert found, ours
        assert found[1] in metrics, ours


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("lr", "here it is train.learning_rate"),
        ("num_fewshot", "here it is score.shots"),
        ("per_device_train_batch_size", "gpttasks counts tokens: train.tokens_per_step is"),
        ("seeds", None),
    ],
)
def test_hints(key, hint):
    assert (key_hint(key) or "").startswith(hint or "")
    assert (key_hint(key) is None) == (hint is None)


def test_they_are_told_on_the_command_line_and_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "quickstart", "lr=1e-3", "adapt.r=4", "score.metrics=[acc, accuracy]"]) == 2
    err = capsys.readouterr().err
    assert "command line: lr: unknown key; here it is train.learning_rate" in err
    assert "command line: adapt.r: unknown key; here it is adapt.rank" in err
    assert "there is no metric 'acc'; here it is accuracy" in err


def test_show_recipe_prints_every_key_and_filter(capsys):
    assert main(["show", "recipe"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert {row[0] for row in key_rows()} <= lines
    assert {"passage", "media"} <= lines
    assert main(["show", "head"]) == 2
    assert "Missing argument 'NAME'; gpttasks list head shows the names" in capsys.readouterr().err
