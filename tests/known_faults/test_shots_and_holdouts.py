"""Shots and hold-outs: examples that leak their own answer, or are chosen or shown in a misleading way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import run, samples

from gpttasks.data.options import DataOptions
from gpttasks.example import Example, prompt_text
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.tasks.shots import ShotPool
from gpttasks.tasks.splits import divide_pool, load_examples
from gpttasks.tasks.task import Task


class Questions(Task):
    name = "questions"

    def example(self, row):
        return Example(f"Q: {row['q']}\nA:", choices=("no", "yes"), label=int(row["a"]))


def write_questions(file, start, times=1):
    rows = [{"idx": start + n, "q": f"Is {n % 30} even?", "a": (n + 1) % 2} for n in range(30 * times)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("shots_from", ["train", "pool"])
def test_shots_leak_by_row_number(shots_from, tmp_path):
    """Rows with the same question counted as different if another column differed; no shot is the question asked."""
    write_questions(tmp_path / "train.jsonl", 1000)
    write_questions(tmp_path / "test.jsonl", 0, times=2)
    sets = load_examples(Questions(), DataOptions(path=str(tmp_path)), ["train", "test"], seed=1)
    scored, pool = (sets["test"], sets["train"]) if shots_from == "train" else divide_pool(sets["test"], None, 1, 0.4)
    drawing = ShotPool(pool.examples, 1)
    for example in scored.examples:
        asked = prompt_text(example.prompt)
        assert asked not in [prompt_text(shot.prompt) for shot in drawing.draw(example, 20)]


def test_hold_out_leaks_by_row_number(tmp_path):
    """Equal questions with different row numbers were in training and validation; a hold-out keeps them together."""
    write_questions(tmp_path / "train.jsonl", 0, times=4)
    data = DataOptions(path=str(tmp_path), holdout={"validation": 0.3})
    sets = load_examples(Questions(), data, ["train", "validation"], seed=1)
    train, held = ({prompt_text(one.prompt) for one in sets[role].examples} for role in ("train", "validation"))
    assert len(train) + len(held) == 30
    assert not train & held


FEW_SHOT = ("adapt=none", "train=null", "score.shots=2")


def test_shots_that_alternate_by_label() -> None:
    """Shots alternated positive, negative, positive, ..., and the model continued the pattern; they are balanced and
    shuffled.
    """
    pool = [Example(f"Text {n}.", choices=("no", "yes"), label=n % 2, id=str(n)) for n in range(40)]
    orders = []
    for seed in range(20):
        labels = [shot.label for shot in ShotPool(pool, seed).draw(Example("A text.", id="asked"), 16)]
        assert sum(labels) == 8
        orders.append(tuple(labels))
    assert len(set(orders)) == 20
    assert not {(0, 1) * 8, (1, 0) * 8} & set(orders)


def test_the_seed_chose_the_scored_examples(recipe: Path) -> None:
    """Runs with different seeds scored different examples; data_seed chooses the examples, seed only the shots."""
    done = {
        name: samples(run(recipe, name, *FEW_SHOT, "score.limit=6", *changes).folder)
        for name, changes in (("1", ["seed=1"]), ("2", ["seed=2"]), ("other", ["data_seed=2"]))
    }
    ids = {name: {row.id for row in rows} for name, rows in done.items()}
    assert ids["1"] == ids["2"] != ids["other"]
    shots = {name: [row.shot_ids for row in rows] for name, rows in done.items()}
    assert shots["1"] != shots["2"]


def test_predict_dropped_the_shots(recipe: Path) -> None:
    """`predict` of a few-shot run silently left out its shots; it uses them, and the report shows them."""
    done = run(recipe, "few", *FEW_SHOT)
    scored = samples(done.folder)
    predictor = Predictor(done.folder, load_plugins())
    answers = list(predictor.predict(predictor.text_rows([row.input.removesuffix("\nSentiment:") for row in scored])))
    assert [list(one.scores.values()) for one in answers] == [pytest.approx(row.scores, abs=1e-5) for row in scored]
    page = (done.folder / "report.html").read_text("utf-8")
    assert all(shot.id in page for shot in done.record.shots)
