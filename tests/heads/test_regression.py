"""``regression``: one number, trained with the squared error."""

import csv

import numpy as np
import pytest
import scipy.stats
import torch
from small_runs import run, samples

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.data.rows import Row
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import DataError, UserError
from gpttasks.example import Example, Part
from gpttasks.heads.linear import LinearOptions
from gpttasks.heads.regression import Regression
from gpttasks.item import rows_of_items
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.requests import Readout, ReadoutReply

EXAMPLES = [Example("The film was a quiet wonder", value=4.5), Example("Bad", value=-1), Example("So so", value=2.25)]


def bind(folder, **options):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    head = Regression(LinearOptions(**options))
    torch.manual_seed(0)
    head.bind(backbone, EXAMPLES[0])
    torch.nn.init.normal_(head.modules()["regression"].weight)
    return head


def test_the_loss_is_the_squared_error_of_what_is_answered(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    engine = LocalEngine(head.backbone, head.modules(), 10_000)
    replies = engine.answer([head.requests(example)[0] for example in EXAMPLES])
    answers = [head.answer(example, [reply]) for example, reply in zip(EXAMPLES, replies, strict=True)]
    items = [item for example in EXAMPLES for item in head.items(example)]
    assert [item.counts for item in items] == [{"regression": 1}] * 3
    losses = head.loss(head.backbone.forward([row.ids for row in rows_of_items(items)]), items)
    wanted = sum((example.value - answer.value) ** 2 for example, answer in zip(EXAMPLES, answers, strict=True))
    assert losses["regression"].item() == pytest.approx(wanted, rel=1e-4)


def test_request_and_answer(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    assert head.requests(EXAMPLES[0]) == [Readout(EXAMPLES[0].prompt, "regression")]
    answer = head.answer(EXAMPLES[0], [ReadoutReply((3.25,))])
    assert (answer.value, answer.text, answer.scores) == (3.25, "3.25", ())
    assert head.answer(EXAMPLES[0], [ReadoutReply((1 / 3,))]).text == "0.333333"
    assert head.fits() == {}


def test_both_orders_are_added(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, both_orders=" $ ", lm_weight=0.5)
    example = Example([Part("one", "passage"), " $ ", Part("two", "passage")], value=3)
    (item,) = head.items(example)
    assert (len(item.rows), item.label) == (2, 3.0)
    assert item.counts == {"regression": 1, "lm": item.tokens - 2}
    assert head.answer(example, [ReadoutReply((1.5,)), ReadoutReply((2.0,))]).value == 3.5
    assert head.fits() == {"orders": 2}


def test_an_example_without_a_value_is_not_trained_on(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    with pytest.raises(DataError, match="example e7 has no value"):
        list(head.items(Example("x", label=1, id="e7")))


def write_ratings(file, rows):
    with open(file, "w", newline="") as out:
        csv.writer(out).writerow(["a", "b", "label"])
        for number in range(rows):
            good = number % 6
            words = ["good"] * good + ["bad"] * (5 - good)
            csv.writer(out).writerow([" ".join(words), f"film {number % 4}", f"{good / 2:.2f}"])


@pytest.fixture
def ratings(tmp_path, tiny_gpt2_folder):
    (tmp_path / "ratings").mkdir()
    for split, rows in (("train", 36), ("test", 12)):
        write_ratings(tmp_path / "ratings" / f"{split}.csv", rows)
    file = tmp_path / "ratings.yaml"
    file.write_text(
        f"""
backbone: {tiny_gpt2_folder}
task:
  use: regression
  data: {{path: ratings, overlap: allow}}
  prompt: "{{{{ a | passage }}}} $ {{{{ b | passage }}}}"
head: {{use: regression, both_orders: " $ "}}
adapt: full
train: {{epochs: 20, learning_rate: 3.0e-3, tokens_per_step: 200}}
score: {{metrics: [pearson, spearman, mean_squared_error, mean_absolute_error], resamples: 50}}
runtime: {{precision: fp32, device: cpu}}
"""
    )
    return file


def test_a_run_learns_the_numbers(ratings):
    done = run(ratings, "out")
    rows = samples(done.folder)
    right = np.array([float(row.right) for row in rows])
    answered = np.array([row.answer_value for row in rows])
    assert done.scores["pearson"].value > 0.9
    assert done.scores["pearson"].value == pytest.approx(scipy.stats.pearsonr(right, answered).statistic)
    assert done.scores["spearman"].value == pytest.approx(scipy.stats.spearmanr(right, answered).statistic)
    assert done.scores["mean_squared_error"].value == pytest.approx(((right - answered) ** 2).mean())
    assert not done.scores["mean_absolute_error"].higher_is_better
    assert "film 3" in (done.folder / "report.html").read_text("utf-8")


def test_a_run_answers_rows_without_numbers_as_it_did(ratings):
    done = run(ratings, "out", "train.epochs=1")
    rows = samples(done.folder)
    given = [Row(dict(zip("ab", row.input.split(" $ "), strict=True))) for row in rows]
    for row, prediction in zip(rows, Predictor(done.folder, load_plugins()).predict(given), strict=True):
        assert float(prediction.text) == pytest.approx(row.answer_value, abs=1e-4)
        assert prediction.scores == {}
    again = run(ratings, "again", f"backbone={done.folder}", "adapt=none", "train=null")
    assert again.scores["pearson"].value == pytest.approx(done.scores["pearson"].value, abs=1e-5)


def test_metrics_of_labels_do_not_take_numbers(ratings):
    with pytest.raises(UserError, match="the metric 'accuracy' scores label, but the head 'regression' gives number"):
        run(ratings, "out", "score.metrics=[accuracy]")
