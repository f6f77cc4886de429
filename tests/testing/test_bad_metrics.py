"""One bad metric per rule: the kit names exactly that fault."""

from __future__ import annotations

import pytest
from found_rules import COUNTER, rules

from gpttasks.metrics.classification import F1, Accuracy, CalibrationError
from gpttasks.metrics.text import ExactMatch, TokenF1
from gpttasks.testing import Fault, NonConforming, assert_conforms, check_metric


class RandomMetric(ExactMatch):
    def sample(self, example, answer):
        return (float(next(COUNTER)),)


class ByOrder(Accuracy):
    statistic = "corpus"

    def total(self, rows):
        return float(rows[:7].mean())


class OutOfBounds(Accuracy):
    statistic = "corpus"
    scale = (0.0, 1.0)

    def total(self, rows):
        return float(100 * rows[:, 0].mean())


class UpsideDown(Accuracy):
    higher_is_better = False


class Generous(Accuracy):
    def sample(self, example, answer):
        return (float(answer.value in (example.label, (example.label + 1) % 4)),)


class Secret(Accuracy):
    def sample(self, example, answer):
        return (float(example.choices[answer.value] == example.target),)


class Dividing(ExactMatch):
    def sample(self, example, answer):
        return (len(answer.text.split()) / len(answer.text.split()),)


class Undeclared(Accuracy):
    statistic = "corpus"


class NoShare(TokenF1):
    statistic = "share"


class NoMean(F1):
    statistic = "mean"


class NoConfidence(Accuracy):
    statistic = "calibration"


class NoCalibration(CalibrationError):
    def total(self, rows):
        return super().total(rows) / 2


class NoRatio(Accuracy):
    statistic = "ratio"

    def total(self, rows):
        return float(rows[:, 0].mean())


class HalfRight(ExactMatch):
    worst = (0.5,)


class TooManyStatistics(ExactMatch):
    worst = (0.0, 0.0)


class BestAsWorst(ExactMatch):
    def worst_of(self, example):
        return (1.0,)


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        (Undeclared, "statistic-as-declared"),
        (NoShare, "statistic-as-declared"),
        (NoConfidence, "statistic-as-declared"),
        (NoCalibration, "statistic-as-declared"),
        (NoMean, "statistic-as-declared"),
        (NoRatio, "statistic-as-declared"),
        (RandomMetric, "deterministic"),
        (ByOrder, "order-does-not-matter"),
        (OutOfBounds, "bounds"),
        (UpsideDown, "gold-scores-best"),
        (Generous, "random-at-chance"),
        (Secret, "reads-what-it-names"),
        (Dividing, "hard-texts"),
        (HalfRight, "worst-is-worst"),
        (TooManyStatistics, "worst-is-worst"),
        (BestAsWorst, "worst-is-worst"),
    ],
)
def test_bad_metrics(metric, rule):
    assert rule in rules(check_metric(metric()))


def test_the_message_says_what_was_got_and_wanted():
    fault = check_metric(OutOfBounds())[0]
    hint = "correct total(), or set scale to the lowest and highest possible value (None if there is none)"
    message = "got 100.0 from 200 samples, expected it in the scale 0.0 to 1.0"
    assert fault == Fault("metric", "accuracy", "bounds", message, hint)
    assert str(fault) == f"metric accuracy: bounds: {message}; {hint}"
    with pytest.raises(NonConforming, match=r"metric accuracy: bounds: got 100\.0") as raised:
        assert_conforms([fault])
    assert raised.value.faults == (fault,)


class Constant(Accuracy):
    def sample(self, example, answer):
        return (0.5,)


class Growing(Accuracy):
    """Counts its calls."""

    statistic = "corpus"

    def __init__(self, options=None):
        super().__init__(options)
        self.turn = next(COUNTER)

    def total(self, rows):
        return float(rows.mean()) / (1 + self.turn)


@pytest.mark.parametrize(
    ("metric", "rule"),
    [(Constant, "gold-scores-best"), (Growing, "round-trip")],
)
def test_other_bad_metrics(metric, rule):
    assert rule in rules(check_metric(metric()))


def test_a_metric_of_answers_that_cannot_be_made_up():
    class Odd(Accuracy):
        takes = frozenset({"responses"})

    with pytest.raises(ValueError, match=r"metric 'accuracy' takes \['responses'\], expected one of"):
        check_metric(Odd())
