"""Names of other tools: the hint gives ours, and ours exists."""

from __future__ import annotations

import re

import pytest

from gpttasks.cli import main
from gpttasks.cli.recipe_keys import filter_rows, key_rows
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


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("lr=1e-4", "train.learning_rate"),
        ("train.lr=1e-4", "train.learning_rate"),
        ("r=8", "adapt.rank"),
        ("adapt.r=8", "adapt.rank"),
        ("lora_alpha=16", "adapt.alpha"),
        ("adapt.lora_alpha=16", "adapt.alpha"),
        ("target_modules=all-linear", "adapt.targets"),
        ("num_train_epochs=1", "train.epochs"),
        ("warmup_ratio=0.1", "train.warmup"),
        ("weight_decay=0.1", "train.weight_decay"),
        ("num_fewshot=0", "score.shots"),
        ("score.num_fewshot=0", "score.shots"),
        ("train.num_fewshot=0", "score.shots"),
        ("doc_to_text='{{ text }}'", "task.prompt"),
        ("task.doc_to_text='{{ text }}'", "task.prompt"),
        ("limit=10", "score.limit"),
        ("save_steps=10", "runtime.checkpoint_minutes"),
    ],
)
def test_a_key_of_another_tool_works_under_the_name_that_the_hint_gives(written, ours, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = ["check", "imdb-lora", "backbone=nano"]
    assert main([*recipe, written]) == 2
    key, _, value = written.partition("=")
    err = capsys.readouterr().err
    assert f"command line: {key}: unknown key; here it is {ours}\n" in err
    (hint,) = re.findall(r"here it is (\S+)", err)
    assert main([*recipe, f"{hint}={value}"]) == 0


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("batch_size=4", "gpttasks counts tokens: train.tokens_per_step"),
        ("train.per_device_train_batch_size=4", "gpttasks counts tokens: train.tokens_per_step"),
        ("output_type=generate_until", "leave it out: the head says it"),
        ("task.output_type=multiple_choice", "leave it out: the head says it"),
        ("filter_list=[]", "a metric of texts has extract"),
        ("head.generation_kwargs.until=x", "its keys are options of the head"),
        ("data.overlap=allow", "here it is task.data"),
        ("load_in_8bit=true", "there is no such option"),
    ],
)
def test_what_has_no_key_here_is_explained(written, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "imdb-lora", "backbone=nano", written]) == 2
    assert f"unknown key; {hint}" in capsys.readouterr().err


@pytest.mark.parametrize("metric", sorted(foreign_names._METRICS))
def test_a_metric_of_another_tool_is_known_under_the_name_that_the_hint_gives(metric, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "quickstart", f"score.metrics=['{metric}']"]) == 2
    assert f"there is no metric '{metric}'; here it is " in capsys.readouterr().err


def test_show_recipe_prints_every_key_and_filter(capsys):
    assert main(["show", "recipe"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert {row[0] for row in key_rows()} <= lines
    assert {"passage", "media"} <= lines
    described, jinja = filter_rows()
    assert {name for name, _ in described} <= lines
    assert set(jinja) <= {word.strip(",.") for word in out.split()}
    shown = " ".join(out.split())
    for text in [row[3] for row in key_rows()] + [text for _, text in described]:
        assert text, "each key and filter has a description"
        assert " ".join(text.split()) in shown
    assert main(["show", "head"]) == 2
    assert "Missing argument 'NAME'; gpttasks list head shows the names" in capsys.readouterr().err
