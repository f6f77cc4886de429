"""The positions of lines, ticks and bars."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.report.charts import Axis, axis_for, downsample, interval_bar, linear_ticks, path, smooth

values = st.lists(st.floats(-1e30, 1e30) | st.floats(0.001, 100), min_size=1, max_size=30)


@given(values)
def test_an_axis_holds_its_values_and_ticks_stand_on_it_in_order(numbers):
    axis = axis_for(numbers, 236, 12)
    assert all(12 <= axis.place(number) <= 236 for number in numbers)
    positions = [tick.position for tick in axis.ticks()]
    assert positions == sorted(positions, reverse=True)
    assert all(12 <= position <= 236 for position in positions)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_linear_ticks_are_round_few_and_inside(low, span):
    ticks = linear_ticks(low, low + span, 5)
    assert 1 <= len(ticks) <= 9
    steps = {round((b - a) / 10 ** math.floor(math.log10(b - a) + 1e-6), 3) for a, b in pairwise(ticks)}
    assert steps <= {1.0, 2.0, 5.0}
    assert all(low - span * 1e-6 <= tick <= low + span * 1.000001 for tick in ticks)


def test_ticks_by_hand():
    assert [tick.label for tick in Axis(0, 1, 0, 100).ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert linear_ticks(0.16, 2.74, 5) == [0.5, 1.0, 1.5, 2.0, 2.5]
    logarithmic = axis_for([0.5, 40], 0, 100)
    assert logarithmic.log
    assert [tick.label for tick in logarithmic.ticks()] == ["0.5", "1", "2", "5", "10", "20"]
    assert logarithmic.place(math.sqrt(0.5 * 40)) == pytest.approx(50, abs=0.01)


def test_a_spread_of_20_is_linear_and_negative_values_never_logarithmic():
    assert not axis_for([1, 20], 0, 1).log
    assert axis_for([1, 20.1], 0, 1).log
    assert not axis_for([-1, 1000], 0, 1).log
    assert not axis_for([0, 1000], 0, 1).log


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5000))
def test_downsampling_keeps_order_extremes_and_its_limit(heights):
    points = list(enumerate(heights))
    kept = downsample(points, 200)
    assert len(kept) <= 200 or kept == points
    assert kept == sorted(set(kept))
    assert set(kept) <= set(points)
    assert {min(heights), max(heights)} <= {y for _, y in kept}


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.sampled_from([1, 3, 5, 11]))
def test_smoothing_is_the_mean_of_the_neighbours(heights, window):
    smoothed = smooth(list(enumerate(heights)), window)
    for index, (x, y) in enumerate(smoothed):
        reach = min(window // 2, index, len(heights) - 1 - index)
        around = heights[index - reach : index + reach + 1]
        assert x == index
        assert y == pytest.approx(sum(around) / len(around), abs=1e-6)


def test_path():
    assert path([(0, 0), (1, 2)], Axis(0, 1, 10, 20), Axis(0, 4, 100, 0)) == "M10,100 L20,50"


numbers = st.floats(-1e12, 1e12)


@given(numbers, numbers, numbers, st.none() | numbers, st.none() | numbers)
def test_an_interval_bar_is_in_order_and_seen(a, b, c, bottom, top):
    low, value, high = sorted((a, b, c))
    bar = interval_bar(value, low, high, [bottom, top])
    assert bar.high - bar.low >= 1.99
    assert bar.start - 1 <= bar.low <= bar.high <= bar.end + 1
    assert bar.low - 1 <= bar.value <= bar.high + 1


def test_open_ends_of_a_scale_are_round():
    bar = interval_bar(34.3, 32.9, 35.8, [1, None])
    assert (bar.low_label, bar.high_label) == ("1", "50")
    assert interval_bar(0.31, 0.27, 0.35, [0, None]).high_label == "0.5"
    assert interval_bar(-3.0, None, None, [None, None]).low_label == "-5"
    assert interval_bar(0.5, None, None, [0, 1]).low is None
