"""Metrics of numbers agree with scipy and scikit-learn on random and on degenerate samples."""

import warnings

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as oracle

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.regression import MeanAbsoluteError, MeanSquaredError, Pearson, Spearman
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.score import score_samples

CASES = 1000
METRICS = (Pearson(), Spearman(), MeanSquaredError(), MeanAbsoluteError())


def answered(right, predicted):
    examples = [Example("x", value=value, id=str(index)) for index, value in enumerate(right.tolist())]
    return examples, [Answer(value) for value in predicted.tolist()]


def score(metric, right, predicted):
    examples, answers = answered(right, predicted)
    return metric.total(sample_rows(metric, examples, answers, key=metric.name))


def cases():
    """(right, predicted): of all magnitudes, correlated or not, with ties, some constant, some of one sample."""
    for case in range(CASES):
        generator = np.random.default_rng(case)
        n = 1 if case % 50 == 0 else int(generator.integers(2, 60))
        scale = 10.0 ** generator.integers(-6, 7)
        right = generator.normal(generator.normal(), 1, n) * scale
        predicted = right * generator.choice([-1, 0.5]) + generator.normal(0, 1, n) * scale
        if case % 3 == 0:
            right, predicted = generator.integers(0, 6, n).astype(float), generator.integers(0, 6, n) / 2
        if case % 40 == 7:
            predicted = np.full(n, 0.1)
        yield right, predicted


def test_correlations_agree_with_scipy():
    undefined = 0
    for right, predicted in cases():
        for metric, function in ((Pearson(), scipy.stats.pearsonr), (Spearman(), scipy.stats.spearmanr)):
            got = score(metric, right, predicted)
            if len(set(right)) == 1 or len(set(predicted)) == 1:
                assert np.isnan(got)
                undefined += 1
                continue
            assert got == pytest.approx(function(right, predicted).statistic, abs=1e-9)
            assert -1 <= got <= 1
    assert undefined >= 2 * CASES // 50


def test_errors_agree_with_scikit_learn():
    for right, predicted in cases():
        wanted = oracle.mean_squared_error(right, predicted)
        assert score(MeanSquaredError(), right, predicted) == pytest.approx(wanted, rel=1e-12)
        wanted = oracle.mean_absolute_error(right, predicted)
        assert score(MeanAbsoluteError(), right, predicted) == pytest.approx(wanted, rel=1e-12)


def test_perfect_correlations_are_exactly_one():
    right = np.random.default_rng(0).normal(size=50)
    assert score(Pearson(), right, 3 * right - 1) == pytest.approx(1.0, abs=1e-15)
    assert score(Spearman(), right, -(right**3)) == pytest.approx(-1.0, abs=1e-15)


def test_tiny_spreads_are_no_constants():
    right = np.array([1e-200, 2e-200, 4e-200])
    assert score(Pearson(), right, np.array([1.0, 2.0, 4.0])) == pytest.approx(1.0)


def test_an_undefined_score_is_reported_with_its_reason():
    right, predicted = np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)
    settings = {"key": "pearson", "split": "test", "measure": "", "way": "", "resamples": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _ = score_samples(Pearson(), *answered(right, predicted), **settings)
    assert (found.value, found.low) == (None, None)
    assert "undefined" in found.reason


def test_directions_and_scales():
    assert [metric.higher_is_better for metric in METRICS] == [True, True, False, False]
    assert [metric.scale for metric in METRICS] == [(-1, 1), (-1, 1), (0, None), (0, None)]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("right", "value", "told"),
    [
        (1.0, None, "the answer's value is None"),
        (1.0, "2", "the answer's value is '2'"),
        (1.0, float("nan"), "the answer's value is nan"),
        (None, 1.0, "the example's value is None"),
    ],
)
def test_what_is_no_number_is_refused(metric, right, value, told):
    with pytest.raises(ValueError, match=told):
        metric.sample(Example("x", value=right), Answer(value))
