"""Perplexity and bits per byte against their definitions over single tokens and bytes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.answer import Answer
from gpttasks.metrics.likelihood import BitsPerByte, Perplexity
from gpttasks.tasks.example import Example

TOKENS = st.lists(st.tuples(st.floats(1e-6, 1.0), st.integers(1, 8)), min_size=1, max_size=10)


def total(metric, answers):
    return metric.total(
        np.array([metric.sample(Example("text"), Answer(scores[0], scores=scores)) for scores in answers])
    )


@settings(deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_both_follow_from_the_tokens_probabilities(texts):
    """Each text is a list of (probability, bytes) of its tokens."""
    answers = [(-sum(math.log(p) for p, _ in text), len(text), sum(size for _, size in text)) for text in texts]
    probabilities = [p for text in texts for p, _ in text]
    geometric_mean = math.prod(p ** (1 / len(probabilities)) for p in probabilities)
    assert total(Perplexity(), answers) == pytest.approx(1 / geometric_mean, rel=1e-9)
    bits = sum(-math.log2(p) for p in probabilities)
    assert total(BitsPerByte(), answers) == pytest.approx(bits / sum(s for text in texts for _, s in text), abs=1e-12)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    assert total(Perplexity(), [(7 * math.log(50257), 7, 30)]) == pytest.approx(50257)
    assert total(BitsPerByte(), [(30 * math.log(256), 7, 30)]) == pytest.approx(8)


def test_nothing_to_divide_by_is_undefined_and_an_overflow_infinite():
    assert math.isnan(total(Perplexity(), [(0.0, 0, 0)]))
    assert math.isnan(total(BitsPerByte(), [(0.0, 0, 0)]))
    assert total(Perplexity(), [(1e4, 1, 1)]) == math.inf


@pytest.mark.parametrize("metric", [Perplexity(), BitsPerByte()])
@pytest.mark.parametrize("scores", [(), (1.0, 2.0), (-1.0, 2, 3), (float("nan"), 2, 3), (1.0, float("inf"), 3)])
def test_what_is_no_likelihood_is_refused(metric, scores):
    with pytest.raises(ValueError, match="wanted \\(nats, tokens, bytes\\)"):
        metric.sample(Example("text"), Answer(1.0, scores=scores))
