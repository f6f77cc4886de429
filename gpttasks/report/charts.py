"""The geometry of the charts: the positions of lines, ticks and bars. The templates draw them as SVG."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .words import tidy

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in SVG units, and its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` along SVG units from ``start`` to ``end``, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """The position of a value; a value beyond an end of the axis is placed at that end."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        inner = math.log(max(value, self.low)) if self.log else value
        share = min(1.0, max(0.0, (inner - low) / (high - low)))
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, about: int = 5) -> list[Tick]:
        """About ``about`` ticks, at round values."""
        values = _log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high, about)
        decimals = None if self.log else _tick_decimals(values)
        labels = [tidy(value) if decimals is None else f"{value:,.{decimals}f}" for value in values]
        return [Tick(self.place(value), label) for value, label in zip(values, labels, strict=True)]


def axis_for(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis that holds all the values: logarithmic where positive ones span more than a factor of 20."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        return Axis(low / 1.1, high * 1.1, start, end, log=True)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-30):
        pad = 0.1 * abs(high) or 0.5
        return Axis(low - pad, high + pad, start, end)
    pad = 0.05 * (high - low)
    return Axis(low - pad, high + pad, start, end)


def linear_ticks(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between low and high, ``about`` of them or a few more or less."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, 1 - math.floor(math.log10(step)))
    return [round(index * step, decimals) + 0.0 for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    every = max(1, (last - first) // 6)
    values = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    return [value for value in values if low <= value <= high]


def _tick_decimals(values: Sequence[float]) -> int | None:
    """The number of decimals for all labels; None if the values are too large, too small or too far apart."""
    sizes = [abs(value) for value in values if value]
    if not sizes or max(sizes) >= 1e7 or min(sizes) < 1e-4 or max(sizes) / min(sizes) > 1e4:
        return None
    return next(
        (decimals for decimals in range(8) if all(abs(value - round(value, decimals)) < 1e-9 for value in values)), None
    )


def path(points: Sequence[Point], across: Axis, up: Axis) -> str:
    """The points as the ``d`` of an SVG path."""
    return " ".join(
        f"{'L' if index else 'M'}{across.place(x):g},{up.place(y):g}" for index, (x, y) in enumerate(points)
    )


def downsample(points: Sequence[Point], most: int = 1000) -> list[Point]:
    """At most ``most`` points in order: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    stretches = most // 2
    kept: list[Point] = []
    for index in range(stretches):
        stretch = points[index * len(points) // stretches : (index + 1) * len(points) // stretches]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept.extend(sorted(ends))
    return kept


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """The centred moving average over ``window`` points (an odd number), over fewer points at the ends."""
    sums = [0.0, *accumulate(y for _, y in points)]
    smoothed = []
    for index, (x, _) in enumerate(points):
        reach = min(window // 2, index, len(points) - 1 - index)
        first, end = index - reach, index + reach + 1
        smoothed.append((x, (sums[end] - sums[first]) / (end - first)))
    return smoothed


@dataclass(frozen=True)
class IntervalBar:
    """A score on its scale: positions in SVG units, and the labels of the scale's ends."""

    start: float
    end: float
    low: float | None
    high: float | None
    value: float
    low_label: str
    high_label: str


def interval_bar(value: float, low: float | None, high: float | None, scale: Sequence[float | None]) -> IntervalBar:
    """The bar of a score; an end that the scale leaves open is a round number beyond the interval."""
    known = [item for item in (value, low, high) if item is not None]
    bottom = scale[0] if len(scale) == 2 and scale[0] is not None else _round_away(min(*known, 0.0), -1)
    top = scale[1] if len(scale) == 2 and scale[1] is not None else _round_away(max(*known, bottom), +1)
    if top <= bottom:
        bottom, top = bottom - 1, bottom + 1
    axis = Axis(bottom, top, 4.0, 156.0)
    ends = None if low is None or high is None else (axis.place(low), axis.place(high))
    if ends is not None and ends[1] - ends[0] < 2:  # keep a narrow interval visible
        middle = sum(ends) / 2
        ends = (middle - 1, middle + 1)
    return IntervalBar(
        axis.start,
        axis.end,
        ends[0] if ends else None,
        ends[1] if ends else None,
        axis.place(value),
        tidy(bottom),
        tidy(top),
    )


def _round_away(value: float, direction: int) -> float:
    """The next round number beyond the value, 1, 2 or 5 times a power of ten; 0 if ``direction`` leads to 0."""
    if value * direction <= 0 or abs(value) < sys.float_info.min:  # no power of ten reaches the smallest floats
        return 0.0
    power = 10.0 ** math.floor(math.log10(abs(value)))
    return direction * next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power > abs(value))
