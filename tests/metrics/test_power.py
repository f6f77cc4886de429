"""The smallest detectable difference, against the formula for the sample size and a simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from gpttasks.metrics.power import detectable_difference


@pytest.mark.parametrize("n", [60, 200, 1000, 25_000])
@pytest.mark.parametrize("discordant", [0.1, 0.2, 0.4])
def test_it_needs_as_many_examples_as_connors_formula_says(n, discordant):
    difference = detectable_difference(n, discordant=discordant)
    if (n, discordant) == (60, 0.1):  # no difference of at most 10 points can be detected
        assert difference is None
        return
    wrongly, missed = stats.norm.ppf([0.975, 0.8])
    needed = (wrongly * math.sqrt(discordant) + missed * math.sqrt(discordant - difference**2)) ** 2 / difference**2
    assert needed == pytest.approx(n)


def test_a_simulated_test_finds_it_four_times_in_five():
    n, discordant = 500, 0.2
    difference = detectable_difference(n, discordant=discordant)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    better, worse, _ = np.random.default_rng(0).multinomial(n, shares, 4000).T
    found = (better - worse) ** 2 / np.maximum(better + worse, 1) > stats.chi2.ppf(0.95, 1)
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_too_few_examples_show_nothing():
    assert detectable_difference(10) is None
    assert detectable_difference(1) is None
