"""Metrics of single-label classification. Numbers agree with scikit-learn's, with ``zero_division=0``."""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ..component import Options
from ..errors import DataError
from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example

EPSILON = 2.0**-52  # of float64: scikit-learn's log loss clips probabilities to [EPSILON, 1 - EPSILON]
SUM_TOLERANCE = 1e-3  # how far from 1 probabilities that were rounded to half precision may sum


def _class_index(value: Any, what: str, example: Example) -> int:
    """``value`` as a class index; raises ValueError if it is none, or is out of the example's choices."""
    try:
        index = operator.index(value)
    except TypeError:
        raise ValueError(f"the {what} is {value!r}, expected a class index (a whole number)") from None
    if index < 0 or (example.choices and index >= len(example.choices)):
        count = f"0 to {len(example.choices) - 1}" if example.choices else "0 or more"
        raise ValueError(f"the {what} is {index}, expected a class index, {count}")
    return index


def _gold_and_predicted(example: Example, answer: Answer) -> tuple[int, int]:
    return _class_index(example.label, "label", example), _class_index(answer.value, "answer's value", example)


def _gold_and_probabilities(example: Example, answer: Answer) -> tuple[int, tuple[float, ...]]:
    """The gold index and the probability of each class. Raises ValueError unless they are a distribution."""
    gold = _class_index(example.label, "label", example)
    scores = answer.scores
    if example.choices and len(scores) != len(example.choices):
        raise ValueError(
            f"the answer has {len(scores)} scores, expected one for each of {len(example.choices)} choices"
        )
    if gold >= len(scores):
        raise ValueError(f"the label is {gold}, but the answer has {len(scores)} scores")
    total = math.fsum(scores)
    if not all(0 <= score <= 1 + SUM_TOLERANCE for score in scores) or abs(total - 1) > SUM_TOLERANCE:
        raise ValueError(f"the answer's scores sum to {total:.6g}, expected probabilities, 0 to 1, that sum to 1")
    return gold, scores


class Accuracy(Metric):
    """The share of examples whose predicted class is the right one."""

    name = "accuracy"
    statistic = "share"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    worst = (0.0,)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(1 if right, else 0)."""
        gold, predicted = _gold_and_predicted(example, answer)
        return (float(gold == predicted),)


class _Confusion(Metric):
    """What metrics of the confusion matrix share: a sample is (gold index, predicted index)."""

    needs = frozenset({"label"})
    takes = frozenset({"label"})

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(gold index, predicted index)."""
        gold, predicted = _gold_and_predicted(example, answer)
        return float(gold), float(predicted)

    def worst_of(self, example: Example) -> tuple[float, ...]:
        """(gold index, :data:`NO_CLASS`)."""
        return float(_class_index(example.label, "label", example)), NO_CLASS


NO_CLASS = -1.0
"""The predicted index of a skipped example: it is not a class, so the answer counts as wrong."""


def _class_counts(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each class was predicted correctly, is gold, and was predicted: three integer arrays [classes].

    :data:`NO_CLASS` is not counted.
    """
    import numpy as np

    gold, predicted = rows[:, 0].astype(np.intp), rows[:, 1].astype(np.intp)
    size = int(rows[:, :2].max()) + 1
    right = np.bincount(gold[gold == predicted], minlength=size)
    return right, np.bincount(gold, minlength=size), np.bincount(predicted[predicted >= 0], minlength=size)


class F1Options(Options):
    """The options of :class:`F1`."""

    average: Literal["macro", "weighted", "binary"] = Field(
        "macro",
        description="macro: the mean over the classes that occur as label or prediction; weighted: that mean, "
        "weighted by the frequency of each class among the labels; binary: the F1 of the class "
        "`positive` of two",
    )
    positive: int = Field(1, ge=0, le=1, description="the index of the positive class, with `average: binary` only")

    @model_validator(mode="after")
    def _positive_is_used(self) -> F1Options:
        if self.average != "binary" and self.positive != 1:
            raise ValueError(f"positive is read only with average binary, not with {self.average}")
        return self


class F1(_Confusion):
    """The harmonic mean of precision and recall, averaged over classes.

    A class that was neither predicted nor is gold counts 0 where it is the positive class, and does not enter a mean.
    """

    name = "f1"
    scale = (0.0, 1.0)
    Options = F1Options
    options: F1Options

    def check(self, example: Example) -> None:
        """Raises DataError where ``average: binary`` meets more than two classes."""
        if self.options.average == "binary" and len(example.choices) > 2:
            raise DataError(
                f"metric f1 with average binary wants two classes, and there are {len(example.choices)}",
                hint="use average macro or weighted",
            )

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(gold index, predicted index); raises ValueError where ``average: binary`` meets more than two classes."""
        gold, predicted = super().sample(example, answer)
        classes = max(len(example.choices), int(gold) + 1, int(predicted) + 1)
        if self.options.average == "binary" and classes > 2:
            raise ValueError(f"average binary wants two classes, got {classes}; use average macro or weighted")
        return gold, predicted

    def total(self, rows: np.ndarray) -> float:
        """F1 from the counts of the classes."""
        import numpy as np

        right, gold, predicted = _class_counts(rows)
        occurrences = gold + predicted
        f1 = 2 * right / np.maximum(occurrences, 1)
        if self.options.average == "binary":
            return float(f1[self.options.positive]) if self.options.positive < len(f1) else 0.0
        if self.options.average == "weighted":
            return float(np.average(f1, weights=gold))
        return float(f1[occurrences > 0].mean())


class MatthewsCorrelation(_Confusion):
    """Matthews' correlation coefficient of labels and predictions, for any number of classes.

    0 where all labels, or all predictions, are of one class.
    """

    name = "matthews_correlation"
    scale = (-1.0, 1.0)

    def total(self, rows: np.ndarray) -> float:
        """The correlation from the counts of the classes."""
        import numpy as np

        right, gold, predicted = (counts.astype(np.float64) for counts in _class_counts(rows))
        n = float(len(rows))
        none = n - predicted.sum()  # skipped examples: one more class among the predictions
        covariance = right.sum() * n - gold @ predicted
        gold_variance, predicted_variance = n * n - gold @ gold, n * n - predicted @ predicted - none * none
        if gold_variance == 0 or predicted_variance == 0:
            return 0.0
        return float(covariance / math.sqrt(gold_variance * predicted_variance))


class LogLoss(Metric):
    """The mean negative log-probability of the right class, in nats; probabilities are clipped to [2**-52, 1 - 2**-52]
    and not normalised.
    """

    name = "log_loss"
    statistic = "mean"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    reads = frozenset({"scores"})
    higher_is_better = False
    scale = (0.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(nats of the right class)."""
        gold, probabilities = _gold_and_probabilities(example, answer)
        return (-math.log(min(max(probabilities[gold], EPSILON), 1 - EPSILON)),)


class CalibrationErrorOptions(Options):
    """The options of :class:`CalibrationError`."""

    bins: int = Field(15, ge=1, le=10_000, description="the number of bins of equal width for the confidence")


class CalibrationError(Metric):
    """The expected calibration error: how far the probability of the likeliest class is from how often it is right.

    Samples fall into bins of equal width by that probability, a bin's upper edge belonging to it; the gaps of the bins
    are averaged, weighted by their samples. Of classes that tie, the first counts. From few samples the error is too
    high; its interval takes this into account.
    """

    name = "calibration_error"
    statistic = "calibration"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    reads = frozenset({"scores"})
    higher_is_better = False
    Options = CalibrationErrorOptions
    options: CalibrationErrorOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(probability of the likeliest class, 1 if that class is right, else 0, the number of the bin)."""
        gold, probabilities = _gold_and_probabilities(example, answer)
        highest = max(probabilities)
        confidence = min(highest, 1.0)
        return confidence, float(probabilities.index(highest) == gold), float(bisect_left(self._edges, confidence))

    @cached_property
    def _edges(self) -> list[float]:
        """The edges between bins."""
        import numpy as np

        return list(np.linspace(0.0, 1.0, self.options.bins + 1)[1:-1])
