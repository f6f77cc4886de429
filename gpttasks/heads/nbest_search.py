"""Weights of a linear model over n-best lists, for the fewest errors of what it picks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GRID = (
    0.0,
    *(sign * digit * 10.0**power for power in range(-3, 2) for digit in (1, 2, 5) for sign in (1, -1)),
)
"""The values that are tried for each weight, the smallest first."""
ROUNDS = 20
"""The most passes over all weights; the search ends before, with the first pass that finds nothing better."""


@dataclass(frozen=True)
class Weights:
    """The weights that were found, and the errors that they leave."""

    weights: list[float]
    errors: int


def fewest_errors(
    features: Sequence[Sequence[Sequence[float]]], errors: Sequence[Sequence[int]], starts: Sequence[Sequence[float]]
) -> Weights:
    """Weights whose highest weighted sum, in each list, picks the fewest errors in all.

    ``features`` holds the numbers to weigh for each member of each list, ``errors`` one number per member. From each of
    ``starts``, one weight after the other takes the best value of :data:`GRID` (the smallest of equals) as long as
    that helps; the first start that reaches the fewest errors wins. Nothing is random.

    Raises ValueError without a start.
    """
    lists = _Lists(features, errors)
    best: Weights | None = None
    for start in starts:
        found = _descend(lists, list(start))
        if best is None or found.errors < best.errors:
            best = found
    if best is None:
        raise ValueError("starts is empty, expected one or more lists of weights to start from")
    return best


def _descend(lists: _Lists, weights: list[float]) -> Weights:
    errors = lists.errors_with(weights)
    for _ in range(ROUNDS):
        before = errors
        for place in range(len(weights)):
            for value in GRID:
                tried = [*weights[:place], value, *weights[place + 1 :]]
                count = lists.errors_with(tried) if any(tried) else errors
                if count < errors:
                    weights, errors = tried, count
        if errors == before:
            break
    return Weights(weights, errors)


class _Lists:
    """N-best lists of different lengths as arrays: numbers [lists, members] for each weight, and errors."""

    def __init__(self, features: Sequence[Sequence[Sequence[float]]], errors: Sequence[Sequence[int]]) -> None:
        import numpy as np

        longest = max(map(len, errors), default=0)
        width = len(features[0][0]) if longest else 0
        self._columns: np.ndarray = np.zeros((width, len(errors), longest))
        self._absent: np.ndarray = np.ones((len(errors), longest), dtype=bool)
        self._errors: np.ndarray = np.zeros((len(errors), longest), dtype=np.int64)
        for place, (rows, counts) in enumerate(zip(features, errors, strict=True)):
            self._columns[:, place, : len(counts)] = np.array(rows).T
            self._absent[place, : len(counts)] = False
            self._errors[place, : len(counts)] = counts

    def errors_with(self, weights: Sequence[float]) -> int:
        """The errors of the members with the highest sum, the first of equals."""
        import numpy as np

        sums = np.zeros(self._absent.shape)
        if not sums.size:
            return 0
        for column, weight in zip(self._columns, weights, strict=True):
            sums += column * weight
        sums[self._absent] = -np.inf
        picked = sums.argmax(axis=1)
        return int(self._errors[np.arange(len(picked)), picked].sum())
