"""The worst value of a metric: what an example counts that the model was not asked about."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from gpttasks.answer import Answer, no_answer
from gpttasks.errors import RunFailed
from gpttasks.example import Example
from gpttasks.metrics.classification import F1, Accuracy, LogLoss, MatthewsCorrelation
from gpttasks.metrics.evaluate_metric import evaluate_total
from gpttasks.metrics.generation import Nist, Rouge
from gpttasks.metrics.multilabel import HammingLoss, MultiLabelF1, SubsetAccuracy
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.sacrebleu_metrics import Bleu, Chrf
from gpttasks.metrics.text import ExactMatch, TokenF1

MISSING = no_answer("it does not fit")
GOLD = (0, 1, 2, 0, 1, 2, 0, 1)
GIVEN = (0, 1, 1, 0, 2, 2, None, None)


def total(metric, examples, answers):
    rows = sample_rows(metric, examples, answers, key=metric.name)
    value = metric.total(rows)
    assert evaluate_total(metric, examples, answers) == pytest.approx(value), "as an Evaluate metric too"
    return value


def labelled():
    examples = [Example(choices=tuple("abc"), label=gold, id=str(place)) for place, gold in enumerate(GOLD)]
    return examples, [MISSING if given is None else Answer(given) for given in GIVEN]


def test_accuracy_counts_it_as_wrong():
    assert total(Accuracy(), *labelled()) == 4 / 8


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_counts_it_for_no_class(average):
    with_none = [3 if given is None else given for given in GIVEN]
    expected = f1_score(GOLD, with_none, average=average, labels=[0, 1, 2], zero_division=0)
    assert total(F1(F1.Options(average=average)), *labelled()) == pytest.approx(expected)


def test_matthews_correlation_counts_it_as_one_more_class():
    with_none = [3 if given is None else given for given in GIVEN]
    expected = matthews_corrcoef(GOLD, with_none)
    assert total(MatthewsCorrelation(), *labelled()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (MultiLabelF1(MultiLabelF1.Options(average="micro")), 2 * 1 / (1 + 1 + 3)),
        (MultiLabelF1(MultiLabelF1.Options(average="samples")), 1 / 2),
        (SubsetAccuracy(), 1 / 2),
        (HammingLoss(), 1 / 2),
    ],
)
def test_every_label_is_wrong(metric, expected):
    examples = [Example(choices=tuple("abc"), labels=[0], id="1"), Example(choices=tuple("abc"), labels=[], id="2")]
    assert total(metric, examples, [Answer([0]), MISSING]) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [ExactMatch(), TokenF1(), Rouge()])
def test_an_empty_text_is_wrong_even_where_nothing_is_right(metric):
    examples = [Example(references=("a b",), id="1"), Example(references=("",), id="2")]
    assert total(metric, examples, [Answer("a b", "a b"), MISSING]) == 1 / 2


@pytest.mark.parametrize("metric", [Bleu(), Chrf(), Nist()])
def test_a_corpus_metric_counts_an_empty_answer(metric):
    text = "a b c d e f"
    examples = [Example(references=(text,), id=name) for name in "12"]
    empty = [Answer(text, text), Answer("", "")]
    assert total(metric, examples, [empty[0], MISSING]) == pytest.approx(total(metric, examples, empty))
    assert total(metric, examples, [MISSING, MISSING]) == pytest.approx(0)


def test_a_metric_without_one_cannot_score_it():
    examples = [Example(choices=tuple("ab"), label=0, id="7")]
    with pytest.raises(RunFailed, match="cannot score example '7': the model was not asked about it"):
        sample_rows(LogLoss(), examples, [MISSING], key="log_loss")
    assert not LogLoss().has_worst
    assert Accuracy().has_worst
    assert F1().has_worst


def test_f1_of_each_sample_alone_is_finite():
    rows = sample_rows(F1(), *labelled(), key="f1")
    assert np.isfinite([F1().total(rows[[place]]) for place in range(len(rows))]).all()
