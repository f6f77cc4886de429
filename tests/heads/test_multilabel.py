"""``multilabel``: each label by itself, with the threshold that suits it."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from small_runs import run, samples

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.data.rows import Row
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import DataError, UserError
from gpttasks.example import Example
from gpttasks.heads.linear import LinearOptions
from gpttasks.heads.multilabel import MultiLabel, best_threshold
from gpttasks.item import rows_of_items
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.requests import Readout, ReadoutReply
from gpttasks.training.plan import micro_batches

CHOICES = ("long", "dull", "funny")
LABELS = [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)]
TEXTS = ["The film was a quiet wonder", "Bad", "Good acting cannot save a bad script, but a good script has."]


def indices(right):
    return [place for place, one in enumerate(right) if one]


EXAMPLES = [Example(text, choices=CHOICES, labels=indices(labels)) for text, labels in zip(TEXTS, LABELS, strict=True)]


def bind(folder, **options):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    head = MultiLabel(LinearOptions(**options))
    torch.manual_seed(0)
    head.bind(backbone, EXAMPLES[0])
    torch.nn.init.normal_(head.modules()["multilabel"].weight)
    return head


def logits_of(head):
    """[3, 3]: the outputs for each example, as the engine reads them, which test_classifier compares by hand."""
    engine = LocalEngine(head.backbone, head.modules(), 10_000)
    replies = engine.answer([head.requests(example)[0] for example in EXAMPLES])
    return torch.tensor([reply.values for reply in replies])


def loss(head, items):
    return head.loss(head.backbone.forward([sequence.ids for sequence in rows_of_items(items)]), items)


def test_the_loss_is_the_binary_cross_entropy_of_every_label(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    items = [item for example in EXAMPLES for item in head.items(example)]
    p = logits_of(head).double().sigmoid()
    right = torch.tensor(LABELS).double()
    wanted = -(right * p.log() + (1 - right) * (1 - p).log()).sum()
    losses = loss(head, items)
    torch.testing.assert_close(losses["multilabel"].double(), wanted, atol=1e-3, rtol=1e-4)
    assert [item.counts for item in items] == [{"multilabel": 3}] * 3


def test_the_loss_of_a_step_does_not_depend_on_its_micro_batches(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, lm_weight=0.5)
    items = [item for example in EXAMPLES for item in head.items(example)]
    whole = loss(head, items)
    assert [item.counts["lm"] for item in items] == [item.tokens - 1 for item in items]
    parts = [loss(head, batch) for batch in micro_batches(items, 1)]
    assert len(parts) == 3
    for name in ("multilabel", "lm"):
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name], atol=1e-3, rtol=1e-4)


def test_answers(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    assert head.requests(EXAMPLES[0]) == [Readout(EXAMPLES[0].prompt, "multilabel")]
    answer = head.answer(EXAMPLES[0], [ReadoutReply((0.0, -1.0, 800.0))])
    assert (answer.value, answer.text) == ([0, 2], "long, funny")
    assert answer.scores == pytest.approx((0.5, 1 / (1 + math.e), 1.0))
    assert answer.detail["near_tie"], "an output of 0 is at the threshold"
    head.tuned = {"thresholds": [0.6, 0.1, 0.5]}
    answer = head.answer(EXAMPLES[0], [ReadoutReply((0.0, -1.0, -800.0))])
    assert (answer.value, answer.text, answer.detail["near_tie"]) == ([1], "dull", False)
    answer = head.answer(EXAMPLES[0], [ReadoutReply((-1.0, -9.0, -1.0))])
    assert (answer.value, answer.text) == ([], "")


def test_both_orders_are_added(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, both_orders=" $ ")
    example = Example("one $ two", choices=CHOICES, labels=indices(LABELS[0]))
    (item,) = head.items(example)
    assert (len(item.rows), item.labels, item.counts) == (2, LABELS[0], {"multilabel": 3})
    answer = head.answer(example, [ReadoutReply((1.0, 0.0, 0.0)), ReadoutReply((1.0, -3.0, 0.5))])
    assert answer.scores == pytest.approx(tuple(1 / (1 + math.exp(-value)) for value in (2, -3, 0.5)))


def test_tuned_thresholds_are_the_best_ones_of_each_label(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    generator = np.random.default_rng(0)
    examples, replies = [], []
    for _ in range(60):
        right = (float(generator.random() < 0.1), float(generator.random() < 0.5), 0.0)
        examples.append(Example("x", choices=CHOICES, labels=indices(right)))
        replies.append([ReadoutReply(tuple(generator.normal(2 * one - 3) for one in right))])
    head.tuned = head.tune(examples, replies)
    assert json.loads(json.dumps(head.tuned)) == head.tuned
    assert head.tuned["thresholds"][2] == 0.5, "a label that never occurs"
    chosen = [set(head.answer(*pair).value) for pair in zip(examples, replies, strict=True)]
    for index in (0, 1):
        right = [float(index in example.labels) for example in examples]
        probabilities = [1 / (1 + math.exp(-reply.values[index])) for (reply,) in replies]
        got = oracle.f1_score(right, [float(index in one) for one in chosen])
        assert got == pytest.approx(best_f1(right, probabilities))
        assert got > oracle.f1_score(right, [float(value >= 0.5) for value in probabilities])


def best_f1(right, probabilities):
    precision, recall, _ = oracle.precision_recall_curve(right, probabilities)
    return (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max()


def f1_at(threshold, right, probabilities):
    chosen = probabilities >= threshold
    return 2 * (right * chosen).sum() / (right.sum() + chosen.sum())


def test_no_threshold_is_better_than_the_best_one():
    for case in range(1000):
        generator = np.random.default_rng(case)
        n = int(generator.integers(1, 40))
        right = (generator.random(n) < generator.choice([0.1, 0.5, 1.0])).astype(float)
        probabilities = generator.random(n)
        if case % 3 == 0:  # ties, and outputs so large that they are 0 or 1
            probabilities = np.round(probabilities * 4) / 4
        threshold = best_threshold(right, probabilities)
        if not right.any():
            assert threshold == 0.5
            continue
        f1 = f1_at(threshold, right, probabilities)
        assert f1 == pytest.approx(best_f1(right, probabilities), abs=1e-12)
        if f1_at(0.5, right, probabilities) == f1:
            assert threshold == 0.5, "nothing better, nothing changed"


def test_a_threshold_between_neighbouring_floats():
    low = np.nextafter(0.7, 0)
    assert best_threshold(np.array([1.0, 0.0]), np.array([0.7, low])) == 0.7


@pytest.mark.parametrize(
    ("labels", "told"),
    [(None, "it has no labels"), ((0, 3), r"its labels are \[0, 3\], expected indices of 3")],
)
def test_examples_that_cannot_be_trained_on(tiny_gpt2_folder, labels, told):
    head = bind(tiny_gpt2_folder)
    with pytest.raises(DataError, match=f"example e7: {told}"):
        list(head.items(Example("x", choices=CHOICES, labels=labels, id="e7")))


def test_other_choices_are_refused(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    other = Example("x", choices=("a", "b", "c"), labels=indices(LABELS[0]), id="e8")
    with pytest.raises(DataError, match="example e8 has the choices"):
        list(head.items(other))
    with pytest.raises(DataError, match="example e8 has the choices"):
        head.requests(other)


WORDS = {"action": "chase", "romance": "love", "horror": "ghost"}


def write_films(file, rows):
    """Films whose text names what applies to them: none, one, two or three labels."""
    with open(file, "w") as out:
        for number in range(rows):
            labels = [label for bit, label in enumerate(WORDS) if number >> bit & 1]
            words = " ".join(WORDS[label] for label in labels) or "nothing"
            out.write(json.dumps({"text": f"{words} and {words}", "labels": labels}) + "\n")


@pytest.fixture
def films(tmp_path, tiny_gpt2_folder):
    (tmp_path / "films").mkdir()
    for split, rows in (("train", 32), ("validation", 16), ("test", 16)):
        write_films(tmp_path / "films" / f"{split}.jsonl", rows)
    file = tmp_path / "films.yaml"
    file.write_text(
        f"""
backbone: {tiny_gpt2_folder}
task:
  use: multi-label-classification
  data: {{path: films, overlap: allow}}
  prompt: "{{{{ text | passage }}}}\\nGenres:"
  labels: [action, romance, horror]
head: multilabel
adapt: full
train: {{epochs: 25, learning_rate: 3.0e-3, tokens_per_step: 200, validate: {{best: micro, every: 20}}}}
score:
  metrics: [multilabel_f1, {{use: multilabel_f1, as: micro, average: micro}}, subset_accuracy, hamming_loss,
    mean_average_precision]
  resamples: 50
runtime: {{precision: fp32, device: cpu}}
"""
    )
    return file


def test_a_run_learns_which_labels_apply(films):
    done = run(films, "out")
    scores = {key: score.value for key, score in done.scores.items()}
    assert scores["micro"] > 0.9
    assert scores["mean_average_precision"] > 0.9
    rows = samples(done.folder)
    right = np.array([[label in row.right for label in WORDS] for row in rows])
    chosen = np.array([[index in row.answer_value for index in range(3)] for row in rows])
    assert scores["multilabel_f1"] == pytest.approx(oracle.f1_score(right, chosen, average="macro", zero_division=0))
    assert scores["hamming_loss"] == pytest.approx(oracle.hamming_loss(right, chosen))
    assert scores["subset_accuracy"] == pytest.approx(oracle.accuracy_score(right, chosen))
    thresholds = json.loads((done.folder / "head" / "tuned.json").read_text())["thresholds"]
    assert len(thresholds) == 3
    for row, one in zip(rows, chosen, strict=True):
        assert [value >= edge for value, edge in zip(list(row.scores), thresholds, strict=True)] == one.tolist()
    assert "and nothing" in (done.folder / "report.html").read_text("utf-8")


def test_a_run_answers_rows_without_labels_as_it_did(films):
    done = run(films, "out", "train.epochs=2")
    rows = samples(done.folder)
    texts = [row.input.removesuffix("\nGenres:") for row in rows]
    predictor = Predictor(done.folder, load_plugins())
    for row, prediction in zip(rows, predictor.predict([Row({"text": text}) for text in texts]), strict=True):
        assert prediction.text == row.answer
        assert prediction.scores == pytest.approx(dict(zip(WORDS, list(row.scores), strict=True)), abs=1e-5)


def test_it_wants_a_task_with_several_labels(recipe):
    with pytest.raises(UserError, match="the head 'multilabel' needs labels, but the task fills only"):
        run(recipe, "out", "head=multilabel", "score.metrics=[hamming_loss]")
