"""The interval of a calibration error: of the gaps between confidence and share of right answers, summed over bins.

The error that is computed from samples is too high: a gap of 0 looks like a small one, above or below. A bootstrap
repeats this mistake, and its interval of a calibrated model excludes 0. Here the two ends are found differently:

- No true error is further above the observed one than the gaps' own intervals allow. These are Wilson's, combined as
  for a sum of independent shares (Zou and Donner, 2008, "Construction of confidence limits about effect measures").
- The true error may be below the observed one by that, and by what bins without a gap seem to have. Such a bin is one
  whose gap is within ``CLEAR`` standard errors of 0; what those bins seem to have is simulated for a model that is
  right as often as its confidences say (Bröcker and Smith, 2007, "Increasing the reliability of reliability diagrams").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .wilson import wilson_ends

if TYPE_CHECKING:
    import numpy as np

CLEAR = 3.0
"""From this number of standard errors on, a bin's gap is not an accident."""

AT_ONCE = 2**18
"""The samples of simulated answers that are held in memory together."""


def calibration_error(rows: np.ndarray) -> float:
    """The gaps of the bins, weighted by their samples; ``rows`` is [samples, 3]: confidence, right (0 or 1), bin.

    Raises ValueError for rows with fewer numbers, or others than these.
    """
    import numpy as np

    expected = "expected a confidence from 0 to 1, then 1 if it is right, else 0, then the number of its bin"
    if rows.shape[1] < 3:
        raise ValueError(f"got {rows.shape[1]} numbers for a sample, {expected}")
    if (wrong := ~((rows[:, 0] >= 0) & (rows[:, 0] <= 1) & np.isin(rows[:, 1], (0, 1)))).any():
        raise ValueError(f"got a sample with the numbers {rows[wrong][0].tolist()}, {expected}")
    _, bin_of = np.unique(rows[:, 2], return_inverse=True)
    return float(np.abs(np.bincount(bin_of, weights=rows[:, 0] - rows[:, 1])).sum() / len(rows))


def unexplained(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """The deviation of each sample from the share of right answers in its bin, and the variance of their mean if the
    samples are independent.
    """
    import numpy as np

    _, bin_of = np.unique(rows[:, 2], return_inverse=True)
    shares = np.bincount(bin_of, weights=rows[:, 1]) / np.bincount(bin_of)
    return rows[:, 1] - shares[bin_of], float((shares * (1 - shares))[bin_of].sum()) / len(rows) ** 2


def calibration_ends(
    rows: np.ndarray, level: float, quantile: float, design: float, resamples: int, seed: int
) -> tuple[float, float]:
    """The ends of the interval of :func:`calibration_error`, which is between them.

    quantile:
        that of the level, by the normal distribution or, over groups, by t.
    design:
        by how much the variance is larger than that of independent samples; 1 for these.
    """
    import numpy as np
    from scipy.special import ndtri

    _, bin_of = np.unique(rows[:, 2], return_inverse=True)
    sizes = np.bincount(bin_of)
    weights = sizes / len(rows)
    confidences, shares, chance = (
        np.bincount(bin_of, weights=values) / sizes
        for values in (rows[:, 0], rows[:, 1], rows[:, 0] * (1 - rows[:, 0]))
    )
    gaps = np.abs(confidences - shares)
    error = float((weights * gaps).sum())
    ends = [wilson_ends(share, size / design, quantile) for share, size in zip(shares, sizes, strict=True)]
    low, high = np.array(ends).T
    largest = np.maximum(np.abs(confidences - low), np.abs(confidences - high))
    smallest = np.maximum(0, np.maximum(low - confidences, confidences - high))
    # How many samples fall into each bin is an accident too.
    sizes_vary = max(0.0, quantile**2 * design * float((weights * gaps**2).sum() - error**2) / len(rows))
    above = math.sqrt(float(((weights * (largest - gaps)) ** 2).sum()) + sizes_vary)
    clear = gaps > CLEAR * np.sqrt(chance * design / sizes)
    seeming = _seeming_errors(rows[~clear[bin_of]], resamples, seed) * math.sqrt(design) / len(rows)
    mean = float(seeming.mean())
    spread = (float(np.quantile(seeming, (1 + level) / 2)) - mean) * quantile / float(ndtri((1 + level) / 2))
    below = mean + math.sqrt(spread**2 + float(((weights * (gaps - smallest))[clear] ** 2).sum()) + sizes_vary)
    return max(0.0, error - below), min(1.0, error + above)


def _seeming_errors(rows: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The sum of the samples' gaps if they were right as often as their confidences say, drawn ``resamples`` times.

    Draws of at most ``AT_ONCE`` samples in all are held in memory at a time, or one draw.
    """
    import numpy as np

    if not len(rows):
        return np.zeros(resamples)
    generator, in_order = np.random.default_rng(seed), rows[np.argsort(rows[:, 2], kind="stable")]
    confidence, first = in_order[:, 0], np.flatnonzero(np.diff(in_order[:, 2], prepend=np.nan) != 0)
    parts, together = [], max(1, AT_ONCE // len(rows))
    for done in range(0, resamples, together):
        right = generator.random((min(together, resamples - done), len(rows))) < confidence
        parts.append(np.abs(np.add.reduceat(confidence - right, first, axis=1)).sum(axis=1))
    return np.concatenate(parts)
