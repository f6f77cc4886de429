"""Intervals against scipy's, against naive computations, and against what they promise: coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gpttasks.metrics.base import ratio_of_sums
from gpttasks.metrics.bins import calibration_error
from gpttasks.metrics.intervals import interval_of, interval_rule
from gpttasks.metrics.resampling import Units, acceleration_of, bca_ends, resampled_totals


def mean(rows):
    return float(rows[:, 0].mean())


def column(values):
    return np.array(values, dtype=np.float64)[:, None]


def ends(interval):
    return [interval.low, interval.high]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95]))
def test_a_share_has_the_wilson_interval_of_scipy(n, data, level):
    right = data.draw(st.integers(0, n))
    found = interval_of(column([1] * right + [0] * (n - right)), mean, "share", level=level)
    expected = stats.binomtest(right, n).proportion_ci(level, method="wilson")
    assert ends(found) == pytest.approx([expected.low, expected.high], abs=1e-12)
    assert (found.method, found.groups, found.reason) == ("wilson", None, None)


def test_twenty_of_twenty_right_do_not_make_a_certain_score():
    found = interval_of(column([1] * 20), mean, "share")
    assert found.low == pytest.approx(0.8389, abs=1e-4)
    assert found.high == 1


def test_a_share_of_other_values_is_treated_as_a_mean():
    rows = column([0, 1, 0.5, 1, 0.25])
    assert interval_of(rows, mean, "share") == interval_of(rows, mean, "mean")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=3, max_size=40), st.sampled_from([0.8, 0.95]))
def test_a_mean_has_the_t_interval_of_scipy(values, level):
    found = interval_of(column(values), mean, "mean", level=level)
    if len(set(values)) == 1:
        assert ends(found) == [None, None]
        assert found.reason == f"no interval: all {len(values)} samples have the same value"
        return
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert ends(found) == pytest.approx([expected.low, expected.high])
    assert found.method == "t"


def naive_group_variance(values, groups):
    """CR1 with the effective number of groups: squared sums of residuals, over n squared, times G / (G - 1)."""
    center = sum(values) / len(values)
    sums = dict.fromkeys(groups, 0.0)
    for value, group in zip(values, groups, strict=True):
        sums[group] += value - center
    return sum(each**2 for each in sums.values()) / len(values) ** 2 / (1 - 1 / effective_number(groups))


def effective_number(groups):
    """Kish's: the inverse of the sum of the squared shares of the groups."""
    return 1 / sum((list(groups).count(group) / len(groups)) ** 2 for group in set(groups))


@pytest.mark.parametrize("count", [6, 12])
def test_a_mean_over_groups_has_the_cluster_robust_t_interval(count):
    generator = np.random.default_rng(count)
    groups = [f"g{index}" for index in generator.integers(0, count, 60)]
    values = generator.normal(size=60) + np.array([hash_free(group) for group in groups])
    found = interval_of(column(values), mean, "mean", groups=groups)
    half = stats.t.ppf(0.975, effective_number(groups) - 1) * math.sqrt(naive_group_variance(values, groups))
    assert ends(found) == pytest.approx([values.mean() - half, values.mean() + half])
    assert (found.method, found.groups) == ("t-groups", count)
    assert bool(found.reason) == (count < 10)


def hash_free(group):
    return int(group[1:]) / 5


def test_a_share_over_groups_has_wilson_on_the_effective_number_of_samples():
    generator = np.random.default_rng(0)
    groups = [f"g{index // 10}" for index in range(200)]
    values = (generator.random(200) < np.repeat(generator.random(20), 10)).astype(float)
    found = interval_of(column(values), mean, "share", groups=groups)
    share, variance = values.mean(), naive_group_variance(values, groups)
    n = min(share * (1 - share) / variance, 200 / (1 + 0.1 * 9))
    quantile = stats.t.ppf(0.975, 19)
    # Wilson's ends are where the distance from the share is the quantile times the error at that end.
    for end in ends(found):
        assert abs(share - end) == pytest.approx(quantile * math.sqrt(end * (1 - end) / n))
    assert (found.method, found.groups, found.reason) == ("wilson-groups", 20, None)


def test_groups_that_look_independent_still_cost_certainty():
    groups = [f"g{index % 12}" for index in range(240)]
    rows = column([index // 12 % 2 for index in range(240)])  # every group has the same share: no variance between them
    assert interval_of(rows, mean, "share", groups=groups).low < interval_of(rows, mean, "share").low - 0.03


@pytest.mark.parametrize("statistic", ["share", "mean", "ratio", "corpus"])
def test_one_group_has_no_interval_and_few_have_a_caution(statistic):
    rows = np.stack([np.random.default_rng(0).random(40) < 0.5, np.ones(40)], axis=1).astype(float)
    found = interval_of(rows, ratio_of_sums, statistic, groups=["a"] * 40)
    assert (found.low, found.reason) == (None, "no interval from a single group")
    few = interval_of(rows, ratio_of_sums, statistic, groups=[f"g{index % 9 // 2}" for index in range(40)])
    assert few.reason.startswith("few groups: an interval from 5 of them")


SIZES = [[90] + [1] * 10, [200] + [10] * 19, [200 // k for k in range(1, 21)]]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("statistic", ["share", "mean"])
def test_groups_of_unequal_size_cover_and_are_said_to_be_few(statistic, sizes):
    generator, covered = np.random.default_rng(2), 0
    groups = [f"g{index}" for index, size in enumerate(sizes) for _ in range(size)]
    for _ in range(200):
        if statistic == "share":  # beta(4.5, 4.5): the samples of a group correlate by 0.1
            values, truth = generator.random(len(groups)) < np.repeat(generator.beta(4.5, 4.5, len(sizes)), sizes), 0.5
        else:
            centers = np.repeat(generator.normal(0, 0.1**0.5, len(sizes)), sizes)
            values, truth = centers + generator.normal(0, 0.9**0.5, len(groups)), 0.0
        found = interval_of(column(values), mean, statistic, groups=groups)
        covered += found.low <= truth <= found.high
    assert covered >= 0.90 * 200  # 92 %, less the chance of 200 draws
    effective = effective_number(groups)
    assert found.reason == (
        f"few groups: an interval from {len(sizes)} of them, as certain as {effective:.1f} of equal size, is uncertain"
    )


def test_a_row_without_a_group_is_its_own():
    rows = column(np.random.default_rng(0).random(40))
    alone = interval_of(rows, mean, "mean", groups=[None] * 40)
    assert (alone.groups, ends(alone)) == (40, pytest.approx(ends(interval_of(rows, mean, "mean"))))


def test_copies_in_a_group_add_no_certainty():
    values = np.random.default_rng(0).normal(size=50)
    groups = [f"speaker {index}" for index in range(50)]
    once = interval_of(column(values), mean, "mean", groups=groups)
    ten_times = interval_of(column(np.tile(values, 10)), mean, "mean", groups=groups * 10)
    assert ends(ten_times) == pytest.approx(ends(once))
    resampled = interval_of(column(np.tile(values, 10)), mean, "corpus", groups=groups * 10)
    assert ends(resampled) == pytest.approx(ends(interval_of(column(values), mean, "corpus", groups=groups)))


@pytest.mark.parametrize("n", [30, 200, 1200])
def test_bca_is_that_of_scipy(n):
    values = np.random.default_rng(n).lognormal(size=n)
    theirs = stats.bootstrap((values,), np.std, n_resamples=999, method="BCa", rng=np.random.default_rng(1))
    ours = Units(column(values), None)
    acceleration = acceleration_of(ours, lambda rows: float(rows.std()), seed=0)
    totals = theirs.bootstrap_distribution
    found = bca_ends(totals, float(values.std()), acceleration, 0.95)
    expected = theirs.confidence_interval
    # Blocks stand in for single samples above 500 of them: the ends are then equal within the bootstrap's own noise.
    tolerance = 1e-9 if n <= 500 else 0.02
    assert found == pytest.approx((expected.low, expected.high), rel=tolerance)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.sampled_from(["a", "b", "c", None])), min_size=2, max_size=12))
def test_resamples_are_those_of_plain_lists(samples):
    rows, groups = column([value for value, _ in samples]), [group for _, group in samples]
    members = {}
    for index, group in enumerate(groups):
        members.setdefault(("alone", index) if group is None else group, []).append(rows[index])
    units = list(members.values())
    generator = np.random.default_rng(3)
    drawn = [generator.integers(0, len(units), len(units)) for _ in range(20)]
    naive = [mean(np.array([row for unit in draw for row in units[unit]])) for draw in drawn]
    assert resampled_totals(Units(rows, groups), mean, 20, seed=3) == pytest.approx(np.array(naive))


def test_a_skewed_mean_has_bca_from_fifty_samples_on():
    skewed = np.random.default_rng(0).lognormal(size=120)
    assert interval_of(column(skewed), mean, "mean").method == "bca"
    few = interval_of(column(skewed[:49]), mean, "mean")
    assert few.method == "t"
    assert few.reason.startswith("few samples")
    assert interval_of(column(np.random.default_rng(0).normal(size=120)), mean, "mean").method == "t"


@pytest.mark.parametrize("statistic", ["ratio", "corpus"])
def test_few_samples_are_said_to_be_few(statistic):
    rows = np.random.default_rng(0).random((120, 2))
    assert interval_of(rows, ratio_of_sums, statistic).reason is None
    few = interval_of(rows[:99], ratio_of_sums, statistic)
    assert (few.method, few.reason[:12]) == ("bca", "few samples:")


FEW_RESAMPLES = [(0.95, 999, "1,000"), (0.99, 1000, "5,000"), (0.8, 5, "250")]


@pytest.mark.parametrize(("level", "resamples", "needed"), FEW_RESAMPLES)
def test_few_resamples_are_said_to_be_few(level, resamples, needed):
    rows = column(np.random.default_rng(0).normal(size=120))
    found = interval_of(rows, mean, "corpus", level=level, resamples=resamples)
    message = f"few resamples: the ends from {resamples:,} are uncertain, at this level use {needed} or more"
    assert found.low is None or found.reason == message
    enough = interval_of(rows, mean, "corpus", level=level, resamples=int(needed.replace(",", "")))
    assert enough.reason is None
    assert interval_of(rows, mean, "mean", level=level, resamples=resamples).reason is None  # it is not resampled


def test_no_interval_has_no_width():
    for statistic in ("mean", "ratio", "corpus"):
        found = interval_of(np.ones((500, 2)), ratio_of_sums, statistic)
        assert (found.low, found.high, found.method) == (None, None, "none")
        assert found.reason.startswith("no interval: ")


@pytest.mark.parametrize(("n", "method"), [(400, "percentile"), (200, "none")])
def test_percentiles_are_taken_only_from_three_hundred_samples_on(n, method, monkeypatch):
    monkeypatch.setattr("gpttasks.metrics.intervals.bca_ends", lambda *_: None)  # as at a pole
    rows = column(np.random.default_rng(0).random(n))
    found = interval_of(rows, mean, "corpus", seed=1)
    assert found.method == method
    if method == "percentile":
        totals = resampled_totals(Units(rows, None), mean, 1000, seed=1)
        assert ends(found) == pytest.approx(np.quantile(totals, [0.025, 0.975]))


def test_resamples_that_are_all_below_the_score_give_no_interval():
    def distinct(rows):
        return len(np.unique(rows)) / len(rows)

    found = interval_of(column(np.random.default_rng(0).random(400)), distinct, "corpus")
    assert found.reason == "no interval: the scores of the resamples do not lie around the score"


def test_a_metric_for_which_none_is_valid_has_none():
    found = interval_of(np.random.default_rng(0).random((50, 2)), ratio_of_sums, "none")
    assert (found.low, found.reason) == (None, "no interval is valid for this metric")


def test_one_sample_of_a_mean_has_no_interval():
    assert interval_of(column([1.5]), mean, "mean").reason == "no interval from a single sample"


def test_is_determined_by_its_seed():
    rows = column(np.random.default_rng(0).random(100))
    assert interval_of(rows, mean, "corpus", seed=3) == interval_of(rows, mean, "corpus", seed=3)
    assert interval_of(rows, mean, "corpus", seed=3) != interval_of(rows, mean, "corpus", seed=4)


@pytest.mark.parametrize("statistic", ["share", "mean", "ratio", "corpus"])
def test_the_interval_narrows_with_the_level(statistic):
    rows = np.stack([np.arange(120) % 3 == 0, np.ones(120)], axis=1).astype(float)
    found = [interval_of(rows, ratio_of_sums, statistic, level=level) for level in (0.5, 0.8, 0.99)]
    widths = [interval.high - interval.low for interval in found]
    assert widths == sorted(widths)


@pytest.mark.parametrize(
    ("statistic", "draw", "truth", "n"),
    [
        ("share", lambda generator, n: generator.random(n) < 0.97, 0.97, 60),
        ("mean", lambda generator, n: generator.normal(2.0, 1.0, n), 2.0, 20),
        ("corpus", lambda generator, n: generator.random(n) < 0.7, 0.7, 100),
    ],
)
def test_covers_the_true_value_about_as_often_as_its_level_says(statistic, draw, truth, n):
    generator, covered = np.random.default_rng(0), 0
    for trial in range(300):
        interval = interval_of(column(draw(generator, n)), mean, statistic, resamples=300, seed=trial)
        covered += interval.low <= truth <= interval.high
    assert 0.91 <= covered / 300 <= 0.985


def test_a_few_undefined_resamples_are_left_out_and_counted():
    rows = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    interval = interval_of(rows, ratio_of_sums, "ratio")  # undefined on 1 in 256 resamples
    assert 1 <= interval.low < interval.high <= 3
    assert "of 1,000 resamples, which are left out" in interval.reason


@pytest.mark.parametrize("undefined", [math.nan, math.inf])
def test_many_undefined_resamples_leave_no_interval(undefined):
    rows = np.array([[1.0, 1.0], [0.0, 0.0]])
    interval = interval_of(rows, lambda drawn: ratio_of_sums(drawn) if drawn[:, 1].any() else undefined, "ratio")
    assert ends(interval) == [None, None]
    assert interval.reason.startswith("no interval: the score is undefined on ")


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 95}, {"resamples": 0}, {"groups": ["a"]}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        interval_of(column([1.0, 2.0]), mean, "mean", **wrong)


def test_rules_as_the_measure_names_them():
    assert interval_rule("share", grouped=True) == "wilson-groups"
    assert interval_rule("mean", grouped=False) == "t-or-bca"
    assert interval_rule("none", grouped=True) == "none"


def calibrated(generator, n, right, low=0.5, bins=10):
    """Rows of confidences from ``low`` to 1 that are right with the probability that ``right`` gives for each."""
    confidence = generator.uniform(low, 1, n)
    return np.stack([confidence, generator.random(n) < right(confidence), np.ceil(confidence * bins)], axis=1)


@pytest.mark.parametrize("n", [20, 100, 1000])
@pytest.mark.parametrize(
    ("right", "error"),
    [
        (lambda confidence: confidence, 0.0),
        (lambda confidence: confidence - 0.2, 0.2),
        (lambda confidence: np.where(confidence > 0.9, confidence - 0.3, confidence), 0.06),
    ],
    ids=["calibrated", "overconfident", "overconfident where it is surest"],
)
def test_the_interval_of_a_calibration_error_covers_the_error_of_the_population(n, right, error):
    generator, covered = np.random.default_rng(0), 0
    for trial in range(200):
        rows = calibrated(generator, n, right)
        found = interval_of(rows, calibration_error, "calibration", resamples=100, seed=trial)
        assert found.low <= calibration_error(rows) <= found.high
        covered += found.low <= error <= found.high
    assert covered >= 0.92 * 200


def test_a_calibration_error_in_one_bin_has_the_interval_of_a_share():
    rows = np.array([[0.9, number % 3 == 0, 9] for number in range(300)], float)  # right in a third, by far too few
    found = interval_of(rows, calibration_error, "calibration")
    share = stats.binomtest(100, 300).proportion_ci(0.95, method="wilson")
    assert ends(found) == pytest.approx((0.9 - share.high, 0.9 - share.low))
    assert (found.method, found.groups, found.reason) == ("bins", None, None)


def test_a_model_that_is_always_right_and_sure_of_it_may_yet_be_wrong():
    found = interval_of(np.array([[1.0, 1, 9]] * 20), calibration_error, "calibration")
    assert ends(found) == pytest.approx((0.0, 1 - stats.binomtest(20, 20).proportion_ci(method="wilson").low))


def test_groups_widen_the_interval_of_a_calibration_error():
    generator = np.random.default_rng(0)
    groups, covered = [str(number // 20) for number in range(400)], 0
    for trial in range(200):
        rows = calibrated(generator, 400, lambda confidence: confidence - 0.2)
        shifts = np.repeat(generator.uniform(-0.2, 0.2, 20), 20)  # some groups are easier than others
        rows[:, 1] = generator.random(400) < rows[:, 0] - 0.2 + shifts
        found = interval_of(rows, calibration_error, "calibration", groups=groups, resamples=100, seed=trial)
        covered += found.low <= 0.2 <= found.high
        alone = interval_of(rows, calibration_error, "calibration", resamples=100, seed=trial)
        assert found.high - found.low > alone.high - alone.low
    assert (found.method, found.groups) == ("bins-groups", 20)
    assert covered >= 0.92 * 200
    assert interval_rule("calibration", grouped=True) == "bins-groups"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.9, 1], "got 2 numbers for a sample"),
        ([1.2, 1, 3], "got a sample with the numbers"),
        ([0.9, 0.5, 3], "got a sample"),
    ],
)
def test_a_calibration_error_of_other_numbers_is_refused(row, message):
    with pytest.raises(ValueError, match=f"{message}.*, expected a confidence from 0 to 1"):
        calibration_error(np.array([row]))
