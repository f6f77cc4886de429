"""Intervals: how far a score would move with other samples of the same kind.

The kind of statistic that a metric declares chooses the method. Sources: Wilson (1927) for shares; Korn and Graubard
(1998) for shares over groups; Cameron, Gelbach and Miller (2008) for the cluster-robust t interval; Efron (1987) for
BCa; Kish (1965) for the effective number of groups; ``bins.py`` names those of calibration errors.
``benchmarks/intervals.py`` measures how often each covers the true value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from .bins import calibration_ends, unexplained
from .resampling import Total, Units, acceleration_of, bca_ends, percentile_ends, resampled_totals
from .wilson import wilson_ends

if TYPE_CHECKING:
    import numpy as np

Statistic = Literal["share", "mean", "ratio", "calibration", "corpus", "none"]
"""What the total of a metric is: the share of right samples, the mean of a number per sample, the quotient of two sums
(or a function of it), the gaps between confidence and share of right answers over bins, any other function of all
samples, or one for which no interval is valid."""

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)

RULES: Mapping[Statistic, str] = {
    "share": "wilson",
    "mean": "t-or-bca",
    "ratio": "bca",
    "calibration": "bins",
    "corpus": "bca",
    "none": "none",
}
"""The methods that the interval of a statistic may have; see :func:`interval_rule`."""

FEW_GROUPS = 10
"""Below this number of groups an interval is not to be relied on."""

FEW_SAMPLES = 100
"""From this number of samples or groups on, resampled intervals at 95 % cover at least 92 %."""

BCA_SAMPLES = 50
"""From this number of samples or groups on, the mean of skewed values gets BCa instead of t."""

PERCENTILE_SAMPLES = 300
"""From this number of samples or groups on, the percentile interval is taken where BCa is undefined."""

SKEWED = 1.0
"""The absolute skewness above which values count as skewed."""

TAIL = 25
"""Resamples needed beyond each end; Efron and Tibshirani (1993) advise 1,000 in all at 95 %."""

LEAST_ICC = 0.1
"""The correlation within groups that a share's effective sample size allows for at least: few groups underrate it."""


@dataclass(frozen=True)
class Interval:
    """An interval of a score.

    low, high:
        its ends; both None where there is no interval, and ``reason`` says why.
    method:
        ``wilson``, ``t``, ``bca``, ``percentile`` or ``bins``, over groups with ``-groups``; ``none`` without an
        interval.
    groups:
        how many groups there are; None where samples are independent.
    reason:
        why there is no interval, or what to know about it.
    """

    low: float | None
    high: float | None
    method: str
    groups: int | None
    reason: str | None = None


def interval_rule(statistic: Statistic, *, grouped: bool) -> str:
    """The methods that such a score may have, as the measure names them, for example ``t-or-bca-groups``."""
    methods = RULES[statistic]
    return f"{methods}-groups" if grouped and methods != "none" else methods


def interval_of(
    rows: np.ndarray,
    total: Total,
    statistic: Statistic,
    *,
    groups: Sequence[str | None] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The interval of ``total(rows)``; ``rows`` is float64 [samples, statistics].

    With ``groups`` (one name per row; None: the row is its own group) samples of one group may depend on each other. A
    ``share`` and a ``mean`` are of the first column; a share that has values other than 0 and 1 is treated as a mean.
    The columns of a ``calibration`` are those of :func:`~gpttasks.metrics.bins.calibration_error`.
    The same arguments give the same interval.

    Raises ValueError for a level outside (0, 1), resamples below 1 or another number of groups than of rows.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"expected a level between 0 and 1 and resamples of 1 or more, got {level} and {resamples}")
    units = Units(rows, groups)
    count = None if groups is None else len(units)
    if statistic == "none":
        return _none(count, "no interval is valid for this metric")
    if groups is not None and len(units) < 2:
        return _none(count, "no interval from a single group")
    if statistic == "share" and _is_binary(rows):
        found = _wilson(units, level, count)
    elif statistic == "calibration":
        found = _calibration(units, level, resamples, seed, count)
    elif len(units) < 2:
        found = _none(count, "no interval from a single sample")
    elif statistic in ("share", "mean") and not (units.effective >= BCA_SAMPLES and _skewed(units)):
        found = _t(units, level, count)
    else:
        found = _resampled(units, total, level, resamples, seed, count)
    return _with_caution(found, units, count, level, resamples)


def _none(groups: int | None, reason: str) -> Interval:
    return Interval(None, None, "none", groups, reason)


def _is_binary(rows: np.ndarray) -> bool:
    return bool(((rows[:, 0] == 0) | (rows[:, 0] == 1)).all())


def _with_caution(found: Interval, units: Units, groups: int | None, level: float, resamples: int) -> Interval:
    """The interval with what to know about it: few groups, or few samples or resamples for its method."""
    if found.low is None:
        return found
    cautions = [found.reason] if found.reason else []
    resampled = found.method.startswith(("bca", "percentile"))
    skewed_t = found.method.startswith("t") and units.effective < FEW_SAMPLES and _skewed(units)
    alike = units.effective > 0.95 * len(units)
    unequal = "" if alike else f", as certain as {units.effective:.1f} of equal size,"
    if groups is not None and units.effective < FEW_GROUPS:
        cautions.append(f"few groups: an interval from {groups} of them{unequal} is uncertain")
    elif (resampled and units.effective < FEW_SAMPLES) or skewed_t:
        what = "samples" if groups is None else "groups"
        cautions.append(f"few {what}: an interval from {len(units)} of them{unequal} covers less than its level says")
    needed = math.ceil(2 * TAIL / (1 - level) - 1e-6)
    if resampled and resamples < needed:
        cautions.append(
            f"few resamples: the ends from {resamples:,} are uncertain, at this level use {needed:,} or more"
        )
    return Interval(found.low, found.high, found.method, groups, "; ".join(cautions) or None)


def _wilson(units: Units, level: float, groups: int | None) -> Interval:
    """Wilson's interval of a share; over groups, on the effective number of samples and with t."""
    n, share = len(units.rows), float(units.rows[:, 0].mean())
    effect = 1.0 if groups is None else _design_effect(units, units.rows[:, 0] - share, share * (1 - share) / n)
    low, high = wilson_ends(share, n / effect, _quantile(level, units, groups))
    return Interval(low, high, "wilson" if groups is None else "wilson-groups", groups)


def _calibration(units: Units, level: float, resamples: int, seed: int, groups: int | None) -> Interval:
    """The interval of a calibration error; over groups, with a design effect and t."""
    effect = 1.0 if groups is None else _design_effect(units, *unexplained(units.rows))
    ends = calibration_ends(units.rows, level, _quantile(level, units, groups), effect, resamples, seed)
    return Interval(*ends, "bins" if groups is None else "bins-groups", groups)


def _quantile(level: float, units: Units, groups: int | None) -> float:
    """The quantile of the level: of the normal distribution or, over groups, of t."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2)) if groups is None else _t_quantile(level, units)


def _t_quantile(level: float, units: Units) -> float:
    """The quantile of t with the effective number of units less 1 (at least 1) as its degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(max(1.0, units.effective - 1), (1 + level) / 2))


def _design_effect(units: Units, residuals: np.ndarray, independent: float) -> float:
    """By how much the variance of a mean over groups is larger than ``independent``, that of independent samples.

    Few groups underrate their correlation, by chance down to none: it is taken to be at least LEAST_ICC.
    """
    least = 1 + LEAST_ICC * (len(units.rows) / units.effective - 1)
    return max(least, _group_variance(units, residuals) / independent) if independent > 0 else least


def _group_variance(units: Units, residuals: np.ndarray) -> float:
    """The variance of a mean that allows for dependence within units, from each row's deviation from it.

    It is CR1 with the effective number of units as their count: a large group pulls the mean to itself, and its
    deviation is then too small.
    """
    import numpy as np

    n, count = len(units.rows), units.effective
    return float(np.sum(units.sums(residuals) ** 2)) / n**2 * count / (count - 1)


def _t(units: Units, level: float, groups: int | None) -> Interval:
    """The t interval of a mean; over groups with the cluster-robust variance."""
    mean = float(units.rows[:, 0].mean())
    error = math.sqrt(_group_variance(units, units.rows[:, 0] - mean))
    if error <= 1e-12 * max(1.0, abs(mean)):
        what = "samples" if groups is None else "groups"
        return _none(groups, f"no interval: all {len(units):,} {what} have the same value")
    half = _t_quantile(level, units) * error
    return Interval(mean - half, mean + half, "t" if groups is None else "t-groups", groups)


def _skewed(units: Units) -> bool:
    """Whether the values of the units (sums of deviations from the mean, over groups) are skewed."""
    import numpy as np

    deviations = units.sums(units.rows[:, 0] - units.rows[:, 0].mean())
    deviations = deviations - deviations.mean()
    spread = float(np.mean(deviations**2))
    return spread > 0 and abs(float(np.mean(deviations**3))) / spread**1.5 > SKEWED


def _resampled(units: Units, total: Total, level: float, resamples: int, seed: int, groups: int | None) -> Interval:
    """BCa; the percentile interval where BCa is undefined and there are enough units; else none."""
    import numpy as np

    drawn = resampled_totals(units, total, resamples, seed)
    defined = drawn[np.isfinite(drawn)]
    undefined = resamples - len(defined)
    undefined_on = f"the score is undefined on {undefined:,} of {resamples:,} resamples"
    if undefined > (1 - level) * resamples:
        return _none(groups, f"no interval: {undefined_on}")
    if defined.max() - defined.min() <= 1e-12 * max(1.0, abs(float(defined[0]))):
        return _none(groups, "no interval: every resample gives the same score")
    over = "" if groups is None else "-groups"
    reason = f"{undefined_on}, which are left out" if undefined else None
    value, acceleration = total(units.rows), acceleration_of(units, total, seed)
    ends = None if acceleration is None else bca_ends(defined, value, acceleration, level)
    if ends is not None and ends[0] < ends[1]:
        return Interval(*ends, f"bca{over}", groups, reason)
    if len(units) < PERCENTILE_SAMPLES:
        what = "samples" if groups is None else "groups"
        return _none(groups, f"no interval: BCa is undefined, and {len(units)} {what} are too few for percentiles")
    low, high = percentile_ends(defined, level)
    if low >= high or not low <= value <= high:
        return _none(groups, "no interval: the scores of the resamples do not lie around the score")
    return Interval(low, high, f"percentile{over}", groups, reason)
