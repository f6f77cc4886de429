"""Whether a total is what the metric declares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import PluginError
from .base import declared_total, total_of

if TYPE_CHECKING:
    import numpy as np

    from .base import Metric

ROUNDING = 1e-9
"""By how much, relative to the value, a total may differ from what is declared."""


def checked_total(metric: Metric, rows: np.ndarray, key: str) -> float:
    """The total of ``rows``. Raises PluginError where it is not what the metric declares."""
    value = total_of(metric, rows)
    check_total(metric, rows, value, key)
    return value


def check_total(metric: Metric, rows: np.ndarray, value: float, key: str) -> None:
    """Raises PluginError where the total is not what the metric declares, as its interval supposes.

    A NaN is allowed: the score is undefined on these rows.
    """
    total = declared_total(metric, rows)
    if total is not None and not math.isclose(value, total, rel_tol=ROUNDING, abs_tol=1e-12):
        of_which = "calibration error" if metric.statistic == "calibration" else "mean of the first numbers"
        raise PluginError(
            f"metric {key!r} declares statistic {metric.statistic!r}, but its total is {value} and the {of_which} "
            f"of its samples is {total}",
            hint='declare statistic = "corpus" for any other function of the samples',
        )
    lowest, highest = metric.scale
    margin = ROUNDING * max(1.0, abs(value)) if math.isfinite(value) else 0.0
    if (lowest is not None and value < lowest - margin) or (highest is not None and value > highest + margin):
        raise PluginError(
            f"the total of metric {key!r} is {value}, expected a value on its scale from {lowest} to {highest}",
            hint="declare in scale the lowest and highest possible value (None if there is none), or correct total()",
        )
