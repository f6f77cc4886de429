"""Data used twice: test data used for training or as shots, and examples that do not fit the model."""

from __future__ import annotations

import json

import pytest

from gpttasks import read_run
from gpttasks.cli import main
from gpttasks.pipeline.session import Session
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe

RECIPE = """
backbone: nano
task:
  use: classification
  data: {path: data}
  prompt: "{{ text | passage }} ="
  labels: [bad, good]
head: choice
adapt: lora
score: {split: test, metrics: [accuracy]}
"""
PROMPTED = ("adapt=none", "train=null")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "data").mkdir()
    return tmp_path


def write(file, texts):
    rows = [{"id": f"{file.stem}-{n}", "text": text, "label": ("bad", "good")[n % 2]} for n, text in enumerate(texts)]
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def films(first, last):
    return [f"Film number {number}" for number in range(first, last)]


def parts(*changes):
    plugins = load_plugins()
    return Session(plugins).with_examples(load_recipe("recipe.yaml", list(changes), plugins))


def refusal(capsys, *changes):
    assert main(["check", "recipe.yaml", *changes, "--data"]) == 2
    return capsys.readouterr().err


def test_a_split_file_beside_a_list_of_paths_counts_twice(folder, capsys):
    """Each source in a list read the file that an absolute path names, so its rows counted twice; it is read once or
    refused.
    """
    write(folder / "a/train.jsonl", films(0, 4))
    write(folder / "b/test.jsonl", films(4, 8))
    found = parts(*PROMPTED, "task.data.path=[a, b]", f"task.data.splits={{test: {folder}/b/test.jsonl}}")
    assert len(found.scored) == 4
    assert "twice: its rows would count twice" in refusal(capsys, *PROMPTED, "task.data.path=[b, ./b]")
    assert "is read twice" in refusal(capsys, *PROMPTED, "task.data.path=[a, a/train.jsonl]", "score.split=train")


def test_the_test_file_named_as_the_training_split(folder, capsys):
    """A model was scored on its training rows without a warning; this is refused unless the recipe allows it."""
    write(folder / "data/test.jsonl", films(0, 6))
    assert "read the same file" in refusal(capsys, "task.data.splits={train: test.jsonl}")
    write(folder / "data/train.jsonl", films(0, 6))
    assert "test and train have the same inputs" in refusal(capsys)
    assert parts("task.data.overlap=allow").overlap_allowed


def test_overlap_and_duplicates_were_not_reported(folder, capsys):
    """Test texts used in training, and texts that occur twice, were not reported; `check --data` counts them."""
    write(folder / "data/train.jsonl", films(0, 6))
    write(folder / "data/test.jsonl", [*films(4, 10), *films(8, 10)])
    assert main(["check", "recipe.yaml", "task.data.id=id", "--data"]) == 0
    err = capsys.readouterr().err
    assert "overlap: 2 of 8 inputs of test occur in train too; the first: test-0 (train-4 in train)" in err
    assert "duplicates  2 examples repeat an earlier input, all with the same right answer" in err
    assert "; the first: test-6 repeats test-4" in err


def test_one_text_that_does_not_fit_stopped_everything_unnamed(folder, capsys):
    """One over-long row stopped a run with an error that named no row; the row is named, and all such rows are counted
    or skipped.
    """
    long = "film " * 600
    write(folder / "data/test.jsonl", [*films(0, 4), f"{long}1", f"{long}2"])
    uncut = (*PROMPTED, "task.prompt='{{ text }} ='")
    err = refusal(capsys, *uncut)
    assert f"{folder}/data/test.jsonl:5: 2 of 6 examples of test do not fit the context; the first: example " in err
    assert main(["run", "recipe.yaml", *uncut, "--out", "stopped"]) == 2
    assert (
        "test.jsonl:5: 2 of 6 examples of test do not fit the context; the first: example " in capsys.readouterr().err
    )
    assert main(["run", "recipe.yaml", *uncut, "task.data.too_long=skip", "--out", "skipped"]) == 0
    score = read_run("skipped").scores["accuracy"]
    assert score.n == 6
    assert score.value <= 4 / 6
    assert "has no worst value" in refusal(capsys, *uncut, "task.data.too_long=skip", "score.metrics=[log_loss]")


def test_no_shots_and_some_score_the_same_examples(folder):
    """With shots from the scored split, `shots: 0` and `shots: 2` scored different examples; they score the same."""
    write(folder / "data/test.jsonl", films(0, 40))
    pooled = (*PROMPTED, "score.shots_from=pool")
    ids = [{one.id for one in parts(*pooled, f"score.shots={shots}").scored} for shots in (0, 2)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 36
