"""Classification metrics agree with scikit-learn on random and on degenerate samples."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.base import Metric
from gpttasks.metrics.classification import F1, Accuracy, CalibrationError, LogLoss, MatthewsCorrelation

CASES = 1000


def score(metric: Metric, labels, predictions, probabilities=None, classes=None) -> float:
    choices = [str(index) for index in range(classes)] if classes else ()
    probabilities = itertools.repeat(()) if probabilities is None else probabilities.tolist()
    rows = [
        metric.sample(Example("x", choices=choices, label=int(label)), Answer(int(prediction), scores=tuple(scores)))
        for label, prediction, scores in zip(labels, predictions, probabilities, strict=False)
    ]
    return metric.total(np.array(rows, dtype=np.float64))


def index_cases():
    """(gold, predicted, classes): every other case correlated; some of one sample, of one class, or all right."""
    for case in range(CASES):
        generator = np.random.default_rng(case)
        classes = int(generator.integers(2, 21))
        n = 1 if case % 50 == 0 else int(generator.integers(1, 80))
        gold = generator.integers(0, 1 if case % 20 == 1 else classes, n)
        predicted = generator.integers(0, 1 if case % 20 == 2 else classes, n)
        if case % 2:
            predicted = np.where(generator.random(n) < 0.7, gold, predicted)
        yield gold, gold if case % 30 == 3 else predicted, classes


def probability_cases():
    """(gold, probabilities [n, classes]): smooth, sharp with exact zeros and ones, or in tenths, which tie."""
    for case in range(CASES):
        generator = np.random.default_rng(case)
        classes, n = int(generator.integers(2, 21)), int(generator.integers(1, 60))
        if case % 3 == 0:
            probabilities = generator.dirichlet(np.full(classes, 0.02 if case % 2 else 1.0), n)
        elif case % 3 == 1:
            probabilities = np.eye(classes)[generator.integers(0, classes, n)]
        else:
            probabilities = generator.multinomial(10, np.full(classes, 1 / classes), n) / 10
        yield generator.integers(0, classes, n), probabilities


def test_accuracy_agrees_with_scikit_learn():
    for gold, predicted, classes in index_cases():
        assert score(Accuracy(), gold, predicted, classes=classes) == pytest.approx(
            oracle.accuracy_score(gold, predicted), abs=1e-12
        )


def test_f1_agrees_with_scikit_learn():
    for case, (gold, predicted, classes) in enumerate(index_cases()):
        average = ("macro", "weighted")[case // 2 % 2]
        metric = F1(F1.Options(average=average))
        wanted = oracle.f1_score(gold, predicted, average=average, zero_division=0)
        assert score(metric, gold, predicted, classes=classes) == pytest.approx(wanted, abs=1e-12)


def test_binary_f1_agrees_with_scikit_learn():
    for case in range(CASES):
        positive = case % 2
        metric = F1(F1.Options(average="binary", positive=positive))
        generator = np.random.default_rng(case)
        n = int(generator.integers(1, 12))  # small, so that classes are often missing
        gold, predicted = generator.integers(0, 2, n), generator.integers(0, 2, n)
        # The one label is asked for by name, since scikit-learn refuses a positive class that does not occur.
        wanted = oracle.f1_score(gold, predicted, labels=[positive], average="macro", zero_division=0)
        assert score(metric, gold, predicted, classes=2) == pytest.approx(wanted, abs=1e-12)


def test_matthews_correlation_agrees_with_scikit_learn():
    for gold, predicted, classes in index_cases():
        with warnings.catch_warnings():
            # scikit-learn warns where all labels and predictions are of one class
            warnings.filterwarnings("ignore", message="A single label was found", category=UserWarning)
            wanted = oracle.matthews_corrcoef(gold, predicted)
        assert score(MatthewsCorrelation(), gold, predicted, classes=classes) == pytest.approx(wanted, abs=1e-12)


def test_matthews_correlation_does_not_overflow():
    gold = np.arange(3_000_000) % 2
    assert MatthewsCorrelation().total(np.stack([gold, gold], axis=1).astype(np.float64)) == 1.0


def test_log_loss_agrees_with_scikit_learn():
    for gold, probabilities in probability_cases():
        classes = probabilities.shape[1]
        wanted = oracle.log_loss(gold, y_proba=probabilities, labels=range(classes))
        got = score(LogLoss(), gold, gold, probabilities, classes)
        assert got == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_calibration_error_agrees_with_scikit_learns_curve():
    for case, (gold, probabilities) in enumerate(probability_cases()):
        bins = (15, 10, 7, 1)[case % 4]
        metric = CalibrationError(CalibrationError.Options(bins=bins))
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
        accuracies, confidences = calibration_curve(right, confidence, n_bins=bins)
        # The curve has the filled bins in order, without their sizes.
        edges = np.linspace(0, 1, bins + 1)
        bin_of = np.array([sum(value > edge for edge in edges[1:-1]) for value in confidence])
        sizes = np.array([(bin_of == index).sum() for index in sorted(set(bin_of))])
        wanted = (np.abs(accuracies - confidences) * sizes).sum() / len(gold)
        assert score(metric, gold, gold, probabilities) == pytest.approx(wanted, abs=1e-9)


def test_calibration_error_takes_the_first_of_ties():
    tie = np.array([[0.5, 0.5]])
    assert score(CalibrationError(), [0], [1], tie) == 0.5
    assert score(CalibrationError(), [1], [1], tie) == 0.5
    assert score(CalibrationError(), [0, 1], [1, 1], np.repeat(tie, 2, axis=0)) == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30), st.randoms())
def test_no_metric_depends_on_the_order(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    for metric in (Accuracy(), F1(), MatthewsCorrelation()):
        assert score(metric, *zip(*pairs, strict=True)) == pytest.approx(score(metric, *zip(*shuffled, strict=True)))


@pytest.mark.parametrize("metric", [Accuracy(), F1(), MatthewsCorrelation()])
@pytest.mark.parametrize(
    ("label", "value", "told"),
    [
        (2, 0, "label is 2"),
        (0, 2, "value is 2"),
        (0, -1, "-1"),
        (0, 0.5, "0.5"),
        (0, None, "None"),
        (0, "pos", "'pos'"),
    ],
)
def test_what_is_no_class_index_is_refused(metric, label, value, told):
    with pytest.raises(ValueError, match=told):
        metric.sample(Example("x", choices=("a", "b"), label=label), Answer(value))


@pytest.mark.parametrize("metric", [LogLoss(), CalibrationError()])
@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((), "0 scores"),
        ((1.0,), "1 scores"),
        ((0.5, 0.6), "sum to 1.1"),
        ((-0.5, 1.5), "0 to 1"),
        ((float("nan"), 1.0), "nan"),
        ((0.2, 0.3, 0.5), "3 scores"),
    ],
)
def test_what_is_no_distribution_is_refused(metric, scores, told):
    with pytest.raises(ValueError, match=told):
        metric.sample(Example("x", choices=("a", "b"), label=1), Answer(0, scores=scores))


def test_options_of_f1():
    with pytest.raises(ValidationError, match="positive is read only with average binary"):
        F1.Options(average="macro", positive=0)
    with pytest.raises(ValidationError):
        F1.Options(average="micro")
    with pytest.raises(ValidationError):
        F1.Options(avarage="macro")
    binary = F1(F1.Options(average="binary"))
    with pytest.raises(ValueError, match="wants two classes, got 3"):
        binary.sample(Example("x", choices=("a", "b", "c"), label=0), Answer(1))
    with pytest.raises(ValueError, match="wants two classes, got 3"):
        binary.sample(Example("x", label=2), Answer(1))
