"""Intervals by resampling: BCa and percentile bootstrap of any statistic, over samples or whole groups.

BCa is from Efron, "Better bootstrap confidence intervals" (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Total = Callable[["np.ndarray"], float]

LEAVE_OUT_BLOCKS = 500
"""The jackknife leaves out at most this many blocks, which gives the acceleration to about 0.65 / 500."""


class Units:
    """The rows of a score and the units that are resampled: single rows, or groups of rows.

    ``groups`` has one name per row, or None for a row that is its own group. Raises ValueError for another number of
    groups than of rows.
    """

    def __init__(self, rows: np.ndarray, groups: Sequence[str | None] | None) -> None:
        import numpy as np

        if groups is None:
            self.rows, self.sizes = rows, np.ones(len(rows), dtype=np.intp)
        else:
            if len(groups) != len(rows):
                raise ValueError(f"expected one group per row, got {len(groups)} groups and {len(rows)} rows")
            members: dict[str | int, list[int]] = {}
            for index, group in enumerate(groups):
                members.setdefault(index if group is None else group, []).append(index)
            # Rows of a group are adjacent here, so that a group is a range of positions.
            self.rows = rows[[index for indices in members.values() for index in indices]]
            self.sizes = np.array([len(indices) for indices in members.values()], dtype=np.intp)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def effective(self) -> float:
        """Kish's effective number of units, n² / Σ nᵢ²: their number if all have the same size, else fewer."""
        return len(self.rows) ** 2 / float((self.sizes.astype(float) ** 2).sum())

    def drawn(self, units: np.ndarray) -> np.ndarray:
        """The rows of these units, in their order; a unit may occur several times."""
        import numpy as np

        sizes = self.sizes[units]
        if len(self) == len(self.rows):
            return self.rows.take(units, axis=0)
        ends = np.cumsum(sizes)
        offsets = np.repeat(self.starts[units] - (ends - sizes), sizes)
        rows: np.ndarray = self.rows.take(np.arange(ends[-1]) + offsets, axis=0)
        return rows

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of one value per row (in the order of ``self.rows``) over each unit."""
        import numpy as np

        total: np.ndarray = np.add.reduceat(values, self.starts)
        return total


def resampled_totals(units: Units, total: Total, resamples: int, seed: int) -> np.ndarray:
    """``total`` on resamples of as many units as there are, drawn with replacement: float64 [resamples].

    NaN or infinite where the score is undefined. The same arguments give the same numbers. One resample is held in
    memory at a time.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(units)
    return np.array([total(units.drawn(generator.integers(0, count, count))) for _ in range(resamples)])


def percentile_ends(totals: np.ndarray, level: float) -> tuple[float, float]:
    """The quantiles of the resampled totals that leave out ``(1 - level) / 2`` on each side."""
    import numpy as np

    low, high = np.quantile(totals, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def bca_ends(totals: np.ndarray, value: float, acceleration: float, level: float) -> tuple[float, float] | None:
    """The ends of the bias-corrected and accelerated interval.

    None where it is undefined: all resampled totals are on one side of ``value``, or the correction has a pole.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    below = float(np.mean(totals < value) + np.mean(totals == value) / 2)
    if not 0 < below < 1:
        return None
    bias = ndtri(below)
    shifted = bias + ndtri(np.array(((1 - level) / 2, (1 + level) / 2)))
    scale = 1 - acceleration * shifted
    if np.any(scale <= 0):
        return None
    low, high = np.quantile(totals, ndtr(bias + shifted / scale))
    return float(low), float(high)


def acceleration_of(units: Units, total: Total, seed: int) -> float | None:
    """A sixth of the skewness of the jackknife values; None where they are all equal or one is undefined.

    Above ``LEAVE_OUT_BLOCKS`` units, random blocks of units are left out instead of single ones.
    """
    import numpy as np

    count = len(units)
    order = np.random.default_rng(seed).permutation(count)
    blocks = np.array_split(order if count > LEAVE_OUT_BLOCKS else np.arange(count), min(count, LEAVE_OUT_BLOCKS))
    kept = np.ones(count, dtype=bool)
    values = []
    for block in blocks:
        kept[block] = False
        values.append(total(units.drawn(np.flatnonzero(kept))))
        kept[block] = True
    influence = np.mean(values) - np.array(values)
    spread = float(np.sum(influence**2))
    if not np.isfinite(spread) or spread <= 1e-24 * max(1.0, abs(values[0])) ** 2:
        return None
    return float(np.sum(influence**3)) / (6 * math.pow(spread, 1.5))
