"""Metrics of multi-label classification. Numbers agree with scikit-learn's, with ``zero_division=0``."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ..answer import Answer
from ..component import Options
from ..errors import DataError
from ..tasks.labels import right_labels
from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..example import Example


class _Labels(Metric):
    """What these metrics share: right labels in the example, chosen ones or probabilities in the answer."""

    needs = frozenset({"choices", "labels"})
    takes = frozenset({"labels"})
    scale = (0.0, 1.0)

    _first: Example | None = None

    def check(self, example: Example) -> None:
        """Raises DataError for an example whose right choices are not known."""
        try:
            right_labels(example)
        except ValueError as error:
            raise DataError(f"example {example.id}: {error}") from error

    def _check_same_choices(self, example: Example) -> None:
        """Raises DataError for other choices than those of the first example."""
        self._first = self._first or example
        if example.choices != self._first.choices:
            raise DataError(
                f"metric {self.name!r} averages over labels, which must be the same ones for all examples: example "
                f"{example.id} has {list(example.choices)}, example {self._first.id} {list(self._first.choices)}"
            )


def _right_and_chosen(example: Example, answer: Answer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A 1 or 0 for each choice, by the example and by the answer; raises ValueError if they are not labels."""
    right, value, choices = right_labels(example), answer.value, len(example.choices)
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"the answer's value is {value!r}, expected a list of class indices")
    try:
        chosen = {operator.index(index) for index in value}
    except TypeError:
        raise ValueError(f"the answer's value is {value!r}, expected whole numbers in it, 0 to {choices - 1}") from None
    if any(not 0 <= index < choices for index in chosen):
        raise ValueError(f"the answer's value is {value!r}, expected class indices, 0 to {choices - 1}")
    return right, tuple(float(index in chosen) for index in range(choices))


def _both(right: tuple[float, ...], chosen: tuple[float, ...]) -> float:
    """How many labels are right and chosen."""
    return sum(one * other for one, other in zip(right, chosen, strict=True))


class MultiLabelF1Options(Options):
    """The options of :class:`MultiLabelF1`."""

    average: Literal["micro", "macro", "samples"] = Field(
        "macro",
        description="macro: the mean F1 over labels; micro: the F1 of all decisions together; samples: the mean "
        "F1 over examples",
    )


class MultiLabelF1(_Labels):
    """The harmonic mean of precision and recall over sets of labels.

    0 for a label, or an example, without any right or chosen label.
    """

    name = "multilabel_f1"
    Options = MultiLabelF1Options
    options: MultiLabelF1Options

    def check(self, example: Example) -> None:
        """Raises DataError for an example without right labels, and for other labels than the first one's."""
        super().check(example)
        if self.options.average == "macro":
            self._check_same_choices(example)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Macro: the right labels and the chosen ones, as 1 and 0. Micro: how many are right and chosen, right, and
        chosen. Samples: (F1).
        """
        right, chosen = _right_and_chosen(example, answer)
        if self.options.average == "macro":
            return (*right, *chosen)
        counts = _both(right, chosen), sum(right), sum(chosen)
        if self.options.average == "micro":
            return counts
        return (2 * counts[0] / max(counts[1] + counts[2], 1.0),)

    def worst_of(self, example: Example) -> tuple[float, ...]:
        """The statistics of the answer that is wrong about every label."""
        wrong = [index for index, right in enumerate(right_labels(example)) if not right]
        return self.sample(example, Answer(wrong)) if self.options.average != "samples" else (0.0,)

    def total(self, rows: np.ndarray) -> float:
        """F1, averaged."""
        import numpy as np

        if self.options.average == "samples":
            return float(rows[:, 0].mean())
        if self.options.average == "micro":
            both, right, chosen = rows.sum(axis=0)
            return float(2 * both / max(right + chosen, 1.0))
        right, chosen = np.hsplit(rows, 2)
        f1 = 2 * (right * chosen).sum(axis=0) / np.maximum((right + chosen).sum(axis=0), 1)
        return float(f1.mean())


class SubsetAccuracy(_Labels):
    """The share of examples whose chosen labels are exactly the right ones."""

    name = "subset_accuracy"
    statistic = "share"
    worst = (0.0,)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(1 if all labels are right, else 0)."""
        right, chosen = _right_and_chosen(example, answer)
        return (float(right == chosen),)


class HammingLoss(_Labels):
    """The share of wrong decisions: labels that were chosen and are not right, or right and were not chosen."""

    name = "hamming_loss"
    statistic = "mean"
    higher_is_better = False
    worst = (1.0,)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the share of the labels that is wrong)."""
        right, chosen = _right_and_chosen(example, answer)
        return (sum(one != other for one, other in zip(right, chosen, strict=True)) / len(right),)


class MeanAveragePrecision(_Labels):
    """How well each label's probability ranks the examples: the mean of the labels' average precision.

    A label that is never right is left out; undefined where none is ever right.
    """

    name = "mean_average_precision"
    reads = frozenset({"scores"})

    def check(self, example: Example) -> None:
        """Raises DataError for an example without right labels, and for other labels than the first one's."""
        super().check(example)
        self._check_same_choices(example)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the right labels as 1 and 0, the scores of all labels)."""
        right, scores = right_labels(example), answer.scores
        if len(scores) != len(right):
            raise ValueError(f"the answer has {len(scores)} scores, expected one for each of {len(right)} choices")
        return (*right, *scores)

    def total(self, rows: np.ndarray) -> float:
        """The mean over the labels that occur; NaN without any."""
        import numpy as np

        right, scores = np.hsplit(rows, 2)
        occurring = right.any(axis=0)
        if not occurring.any():
            return float("nan")
        return float(_average_precision(right[:, occurring], scores[:, occurring]).mean())


def _average_precision(right: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[labels]: the mean precision at the right examples of each column; examples of equal score count together."""
    import numpy as np

    order = np.argsort(-scores, axis=0, kind="stable")
    ranked, right = np.take_along_axis(scores, order, axis=0), np.take_along_axis(right, order, axis=0)
    n = len(ranked)
    places = np.arange(n)[:, None]
    is_end = np.vstack([ranked[:-1] > ranked[1:], np.ones((1, ranked.shape[1]), dtype=bool)])
    # For each place, the last one with the same score: the nearest end at or after it.
    ends = np.minimum.accumulate(np.where(is_end, places, n)[::-1], axis=0)[::-1]
    precision = np.take_along_axis(right.cumsum(axis=0), ends, axis=0) / (ends + 1)
    means: np.ndarray = (precision * right).sum(axis=0) / right.sum(axis=0)
    return means
