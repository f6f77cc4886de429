"""Wilson's interval of a share (1927)."""

from __future__ import annotations

import math


def wilson_ends(share: float, n: float, quantile: float) -> tuple[float, float]:
    """The ends of Wilson's interval for a share of ``n`` samples, with the quantile of the level (1.96 for 95 %)."""
    squared = quantile**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile * math.sqrt(share * (1 - share) / n + squared / (4 * n * n)) / (1 + squared / n)
    # The ends of shares 0 and 1 are exact; elsewhere rounding must not put an end outside.
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))
