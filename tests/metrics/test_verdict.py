"""Which single answers are right by a metric, against right and wrong answers by construction."""

import numpy as np
import pytest

from gpttasks.answer import Answer
from gpttasks.answer_kinds import CORE_KINDS
from gpttasks.example import Example
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.verdict import right_by
from gpttasks.plugins import load_plugins

PLUGINS = load_plugins()
CLASSES = [Example("x", choices=["bad", "good", "fair"], label=number % 3, id=str(number)) for number in range(9)]
TEXTS = [Example("x", references=["one two three four five", "a b c d e f"], id=str(number)) for number in range(4)]
NUMBERS = [Example("x", value=float(number), id=str(number)) for number in range(4)]
SETS = [Example("x", choices=["a", "b", "c"], labels=[0, 2], id=str(number)) for number in range(4)]
SAID = ["one two three four five", "one two three four", "a b c d e f", "f e d c b a"]


def judged(name, kind, examples, answers, **options):
    cls = PLUGINS.get("metric", name)
    metric = cls(cls.Options(**options))
    rows = sample_rows(metric, examples, answers, key=name)
    return right_by(metric, CORE_KINDS[kind], examples, answers, rows)


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews_correlation"])
def test_classes(name):
    answers = [Answer(0) for _ in CLASSES]
    assert judged(name, "label", CLASSES, answers) == [example.label == 0 for example in CLASSES]


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "rouge", "bleu", "chrf", "ter", "wer", "cer"])
def test_texts(name):
    answers = [Answer(said, said) for said in SAID]
    assert judged(name, "text", TEXTS, answers)[:3] == [True, False, True]


def test_numbers_and_sets():
    numbers = [Answer(1.0) for _ in NUMBERS]
    assert judged("pearson", "number", NUMBERS, numbers) == [False, True, False, False]
    sets = [Answer(value) for value in ([0, 2], [0], [2, 0], [])]
    assert judged("multilabel_f1", "labels", SETS, sets) == [True, False, True, False]


def test_metrics_of_probabilities_and_of_answers_alone_do_not_tell():
    answers = [Answer(0, scores=(0.5, 0.25, 0.25)) for _ in CLASSES]
    assert judged("log_loss", "label", CLASSES, answers) is None
    assert judged("distinct", "text", TEXTS, [Answer(said, said) for said in SAID]) is None


def test_a_metric_that_takes_no_made_up_answer_does_not_tell():
    class Picky(PLUGINS.get("metric", "f1")):
        def sample(self, example, answer):
            raise KeyError("picky")

    assert right_by(Picky(), CORE_KINDS["label"], CLASSES, [Answer(0)] * 9, np.zeros((9, 2))) is None
