"""What difference between two runs a number of examples can show."""

from __future__ import annotations

import math
from statistics import NormalDist

POWER, LEVEL, DISCORDANT = 0.8, 0.95, 0.2


def detectable_difference(
    n: int, *, discordant: float = DISCORDANT, power: float = POWER, level: float = LEVEL
) -> float | None:
    """The smallest difference of two shares on the same ``n`` examples that a two-sided test finds with ``power``.

    ``discordant`` is the share of the examples that exactly one of the two runs answers rightly: the difference is at
    most that, and None is returned where ``n`` is too small for any. It solves the formula for the sample size of
    McNemar's test of Connor (1987) for the difference.
    """
    wrongly, missed = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(power)
    edge = wrongly * math.sqrt(discordant)
    root = edge**2 * n - (n + missed**2) * (edge**2 - missed**2 * discordant)
    difference = (edge * math.sqrt(n) + math.sqrt(root)) / (n + missed**2) if root >= 0 else math.inf
    return difference if difference <= discordant else None
