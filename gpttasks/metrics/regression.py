"""Metrics of numbers. Numbers agree with scipy's and scikit-learn's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example


def _number(value: Any, what: str) -> float:
    """``value`` as a float; raises ValueError if it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"the {what} is {value!r}, expected a finite number")
    return float(value)


class _Numbers(Metric):
    """What these metrics share: a right number in the example, a predicted one in the answer."""

    needs = frozenset({"value"})
    takes = frozenset({"number"})

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(right number, predicted number)."""
        return _number(example.value, "example's value"), _number(answer.value, "answer's value")


class Pearson(_Numbers):
    """Pearson's correlation of right and predicted numbers.

    Undefined where all right, or all predicted, numbers are the same.
    """

    name = "pearson"
    scale = (-1.0, 1.0)

    def total(self, rows: np.ndarray) -> float:
        """The correlation; NaN where it is undefined."""
        return _correlation(rows[:, 0], rows[:, 1])


class Spearman(_Numbers):
    """Spearman's correlation: Pearson's of the ranks; equal numbers have the mean of their ranks.

    Undefined where all right, or all predicted, numbers are the same.
    """

    name = "spearman"
    scale = (-1.0, 1.0)

    def total(self, rows: np.ndarray) -> float:
        """The correlation of the ranks; NaN where it is undefined."""
        from scipy.stats import rankdata

        ranks = rankdata(rows, axis=0)
        return _correlation(ranks[:, 0], ranks[:, 1])


class MeanSquaredError(_Numbers):
    """The mean squared difference between right and predicted numbers."""

    name = "mean_squared_error"
    statistic = "mean"
    higher_is_better = False
    scale = (0.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the squared difference)."""
        right, predicted = super().sample(example, answer)
        return ((right - predicted) ** 2,)


class MeanAbsoluteError(_Numbers):
    """The mean absolute difference between right and predicted numbers."""

    name = "mean_absolute_error"
    statistic = "mean"
    higher_is_better = False
    scale = (0.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the absolute difference)."""
        right, predicted = super().sample(example, answer)
        return (abs(right - predicted),)


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Pearson's correlation of two columns; NaN where one of them is constant."""
    import numpy as np

    if (left == left[0]).all() or (right == right[0]).all():  # asked before: rounding may leave a spread of 1e-17
        return float("nan")
    units = []
    for column in (left, right):
        centred = column - column.mean()
        centred /= np.abs(centred).max()  # so that no square underflows or overflows
        units.append(centred / np.linalg.norm(centred))
    return float(np.clip(units[0] @ units[1], -1.0, 1.0))
