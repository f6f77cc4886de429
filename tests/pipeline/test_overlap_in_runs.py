"""Inputs in two roles, as a run records, reports and refuses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import run, write_reviews

from gpttasks.errors import DataError
from gpttasks.metrics.signature import parse_signature

ONE_STEP = ("train={steps: 1, validate: null}", "score.metrics=[accuracy]", "task.data.holdout={}")


def test_partial_overlap_is_recorded_and_reported(recipe: Path, capsys) -> None:
    write_reviews(recipe.parent / "data" / "test.csv", 12, start=20)  # 4 of them are in train
    done = run(recipe, "out", *ONE_STEP)
    (found,) = done.record.overlaps
    assert (found.role, found.other) == ("test", "train")
    assert (found.examples, found.of, found.others, found.of_others) == (4, 12, 4, 24)
    assert found.first is not None
    assert found.first[0] == done.samples()[0].id
    (warning,) = [text for text in done.record.warnings if "occur" in text]
    assert warning.startswith("4 of 12 inputs of test occur in train too; the first: ")
    assert f"warning: {warning}" in capsys.readouterr().err
    assert warning in (done.folder / "report.html").read_text()
    assert "overlap" not in parse_signature(done.scores["accuracy"].measure)


def test_whole_overlap_is_refused_unless_it_is_allowed_and_named(recipe: Path) -> None:
    write_reviews(recipe.parent / "data" / "test.csv", 12, start=6)
    with pytest.raises(DataError, match="the inputs of all 12 examples of test occur in train too"):
        run(recipe, "refused", *ONE_STEP)
    done = run(recipe, "allowed", *ONE_STEP, "task.data.overlap=allow")
    assert parse_signature(done.scores["accuracy"].measure)["overlap"] == "allow"


def test_shots_among_the_scored_inputs_are_an_overlap_too(recipe: Path) -> None:
    write_reviews(recipe.parent / "data" / "train.csv", 4, start=100)
    prompted = ("adapt=none", "train=null", "score.metrics=[accuracy]", "task.data.holdout={}")
    with pytest.raises(DataError, match="the inputs of all 4 examples of train occur in test too"):
        run(recipe, "refused", *prompted, "score.shots=2")
    assert run(recipe, "without", *prompted).record.overlaps == [], "without shots, train is not read"
