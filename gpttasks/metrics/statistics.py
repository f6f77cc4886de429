"""Intervals: how far a score would move with other samples of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Interval:
    """A bootstrap percentile interval.

    low, high:
        its ends; both None where there is no interval, and ``reason`` says why.
    groups:
        how many groups were resampled; None where single samples were.
    reason:
        why there is no interval, or what to know about it (a score that was undefined on some resamples).
    """

    low: float | None
    high: float | None
    level: float
    resamples: int
    groups: int | None
    reason: str | None = None


def bootstrap_interval(
    rows: np.ndarray,
    total: Callable[[np.ndarray], float],
    *,
    groups: Sequence[str | None] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile interval of ``total`` over resamples, drawn with replacement, of ``rows`` [samples, statistics].

    With ``groups`` (one name per row; None: the row is its own group) whole groups are drawn instead of rows. The same
    arguments give the same interval. One resample is held in memory at a time. Resamples on which the score is
    undefined (NaN or infinite) are left out and counted in the reason; where their share is above ``1 - level``,
    there is no interval.

    Raises ValueError for a level outside (0, 1), resamples below 1 or another number of groups than of rows.
    """
    import numpy as np

    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"expected a level between 0 and 1 and resamples of 1 or more, got {level} and {resamples}")
    draw, units = _sampler(rows, groups)
    count = None if groups is None else units
    if units < 2:
        unit = "sample" if groups is None else "group"
        return Interval(None, None, level, resamples, count, f"no interval from a single {unit}")
    generator = np.random.default_rng(seed)
    totals = np.array([total(draw(generator.integers(0, units, units))) for _ in range(resamples)])
    defined = totals[np.isfinite(totals)]
    undefined = resamples - len(defined)
    undefined_on = f"the score is undefined on {undefined} of {resamples} resamples"
    if undefined > (1 - level) * resamples:
        return Interval(None, None, level, resamples, count, f"no interval: {undefined_on}")
    tail = (1 - level) / 2
    low, high = (float(end) for end in np.quantile(defined, (tail, 1 - tail)))
    reason = (
        f"the score is undefined on {undefined} of {resamples} resamples, which are left out" if undefined else None
    )
    return Interval(low, high, level, resamples, count, reason)


def _sampler(rows: np.ndarray, groups: Sequence[str | None] | None) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """A function from drawn units to their rows, and the number of units: groups by first appearance, or rows."""
    import numpy as np

    if groups is None:
        return lambda drawn: rows.take(drawn, axis=0), len(rows)
    if len(groups) != len(rows):
        raise ValueError(f"expected one group per row, got {len(groups)} groups and {len(rows)} rows")
    members: dict[str | int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(index if group is None else group, []).append(index)
    sizes = np.array([len(indices) for indices in members.values()], dtype=np.intp)
    starts = np.cumsum(sizes) - sizes
    # Rows of a group are adjacent here, so that a drawn group is a range of positions.
    together = rows[[index for indices in members.values() for index in indices]]

    def draw(drawn: np.ndarray) -> np.ndarray:
        drawn_sizes = sizes[drawn]
        ends = np.cumsum(drawn_sizes)
        offsets = np.repeat(starts[drawn] - (ends - drawn_sizes), drawn_sizes)
        resample: np.ndarray = together.take(np.arange(ends[-1]) + offsets, axis=0)
        return resample

    return draw, len(members)
