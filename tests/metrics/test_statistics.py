"""The bootstrap against a naive one, and against what it promises: coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.metrics.statistics import Interval, bootstrap_interval


def mean(rows):
    return float(rows[:, 0].mean())


def column(values):
    return np.array(values, dtype=np.float64)[:, None]


def naive_interval(rows, groups, resamples, level, seed):
    """Ends of the interval by plain lists: draws groups (in order of first appearance) and joins their rows."""
    members = {}
    for index, group in enumerate(groups):
        members.setdefault(("alone", index) if group is None else group, []).append(rows[index])
    units = list(members.values())
    generator = np.random.default_rng(seed)
    totals = []
    for _ in range(resamples):
        drawn = [row for unit in generator.integers(0, len(units), len(units)) for row in units[unit]]
        totals.append(mean(np.array(drawn)))
    return [float(np.percentile(totals, 100 * share)) for share in ((1 - level) / 2, 1 - (1 - level) / 2)]


ROWS = st.lists(st.tuples(st.floats(-5, 5), st.sampled_from(["a", "b", "c", None])), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 5), st.sampled_from([0.5, 0.9, 0.95]))
def test_equals_a_naive_bootstrap(samples, seed, level):
    rows, groups = column([value for value, _ in samples]), [group for _, group in samples]
    alone = bootstrap_interval(rows, mean, level=level, resamples=50, seed=seed)
    assert [alone.low, alone.high] == pytest.approx(naive_interval(rows, [None] * len(rows), 50, level, seed))
    assert alone.groups is None
    grouped = bootstrap_interval(rows, mean, groups=groups, level=level, resamples=50, seed=seed)
    count = len({group for group in groups if group}) + groups.count(None)
    assert grouped.groups == count
    if count > 1:
        assert [grouped.low, grouped.high] == pytest.approx(naive_interval(rows, groups, 50, level, seed))
    else:
        assert (grouped.low, grouped.high, grouped.reason) == (None, None, "no interval from a single group")


def test_groups_of_one_row_are_rows():
    rows = column(np.random.default_rng(0).random(40))
    alone = bootstrap_interval(rows, mean)
    grouped = bootstrap_interval(rows, mean, groups=[str(index) for index in range(40)])
    assert (alone.low, alone.high) == (grouped.low, grouped.high)


def test_is_determined_by_its_seed():
    rows = column(np.random.default_rng(0).random(100))
    assert bootstrap_interval(rows, mean, seed=3) == bootstrap_interval(rows, mean, seed=3)
    assert bootstrap_interval(rows, mean, seed=3) != bootstrap_interval(rows, mean, seed=4)


def test_covers_the_true_value_about_as_often_as_its_level_says():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        interval = bootstrap_interval(column(generator.random(100) < 0.7), mean, resamples=300, seed=trial)
        covered += interval.low <= 0.7 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_copies_in_a_group_add_no_certainty():
    generator = np.random.default_rng(0)
    values = generator.random(50) < 0.7
    groups = [f"speaker {index}" for index in range(50)]
    once = bootstrap_interval(column(values), mean, groups=groups)
    ten_times = bootstrap_interval(column(np.tile(values, 10)), mean, groups=groups * 10)
    assert (ten_times.low, ten_times.high, ten_times.groups) == (once.low, once.high, 50)
    as_if_independent = bootstrap_interval(column(np.tile(values, 10)), mean)
    assert ten_times.high - ten_times.low > 2 * (as_if_independent.high - as_if_independent.low)


def test_the_interval_narrows_with_the_level():
    rows = column(np.random.default_rng(0).random(100))
    widths = [
        interval.high - interval.low for interval in (bootstrap_interval(rows, mean, level=x) for x in (0.5, 0.8, 0.99))
    ]
    assert widths == sorted(widths)


def test_one_sample_has_no_interval():
    wanted = Interval(None, None, 0.95, 1000, None, "no interval from a single sample")
    assert bootstrap_interval(column([1.0]), mean) == wanted


def ratio(rows):
    weight = rows[:, 1].sum()
    return float(rows[:, 0].sum() / weight) if weight else math.nan


def test_a_few_undefined_resamples_are_left_out_and_told():
    rows = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    interval = bootstrap_interval(rows, ratio)  # undefined on 1 in 256 resamples
    assert interval.low >= 1
    assert interval.high <= 3
    assert "of 1000 resamples, which are left out" in interval.reason


@pytest.mark.parametrize("undefined", [math.nan, math.inf])
def test_many_undefined_resamples_leave_no_interval(undefined):
    rows = np.array([[1.0, 1.0], [0.0, 0.0]])
    interval = bootstrap_interval(rows, lambda drawn: ratio(drawn) if drawn[:, 1].any() else undefined)
    assert (interval.low, interval.high) == (None, None)
    assert interval.reason.startswith("no interval: the score is undefined on ")


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 95}, {"resamples": 0}, {"groups": ["a"]}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        bootstrap_interval(column([1.0, 2.0]), mean, **wrong)
