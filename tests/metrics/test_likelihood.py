"""Metrics of likelihood against their definitions over single tokens, words and bytes."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.likelihood import BitsPerByte, BytePerplexity, GreedyMatch, Perplexity, WordPerplexity

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
    assert math.isnan(total(BytePerplexity(), [(0.0, 0, 0)]))
    assert total(Perplexity(), [(1e4, 1, 1)]) == math.inf
    assert total(WordPerplexity(), [(1e4, 1, 1)]) == total(BytePerplexity(), [(1e4, 1, 1)]) == math.inf


@pytest.mark.parametrize("metric", [Perplexity(), WordPerplexity(), BytePerplexity(), BitsPerByte()])
@pytest.mark.parametrize("scores", [(), (1.0, 2.0), (-1.0, 2, 3), (float("nan"), 2, 3), (1.0, float("inf"), 3)])
def test_what_is_no_likelihood_is_refused(metric, scores):
    with pytest.raises(ValueError, match="expected \\(nats, tokens, bytes\\)"):
        metric.sample(Example("text"), Answer(1.0, scores=scores))


def test_word_and_byte_perplexity_are_weighted_as_in_lm_evaluation_harness():
    """There exp(-sum of log-likelihoods / sum of weights), with the pieces between white space as words."""
    for seed in range(1000):
        generator = random.Random(seed)
        texts = [
            "".join(generator.choices("ab é世ש.\n\t\u00a0  ", k=generator.randint(1, 20)))
            for _ in range(generator.randint(1, 5))
        ]
        triples = [(generator.uniform(0, 20), 3, len(text.encode())) for text in texts]
        words = sum(
            1 + sum(here.isspace() and not before.isspace() for before, here in zip("x" + text, text, strict=False))
            for text in texts
        )
        nats = sum(triple[0] for triple in triples)

        def got(metric, texts=texts, triples=triples):
            rows = [metric.sample(Example(x), Answer(y[0], scores=y)) for x, y in zip(texts, triples, strict=True)]
            return metric.total(np.array(rows))

        assert got(WordPerplexity()) == pytest.approx(math.exp(nats / words), rel=1e-9)
        assert got(BytePerplexity()) == pytest.approx(math.exp(nats / sum(t[2] for t in triples)), rel=1e-9)
        assert got(BytePerplexity()) == pytest.approx(2 ** got(BitsPerByte()), rel=1e-9)


@pytest.mark.parametrize(("text", "words"), [("", 1), ("one", 1), ("one two", 2), (" one\n\ntwo ", 4), ("a\u00a0b", 2)])
def test_words_are_the_pieces_between_white_space(text, words):
    assert WordPerplexity().sample(Example(text), Answer(1.0, scores=(1.0, 2, 3))) == (1.0, words)


def test_greedy_match_is_the_share_of_answers_that_greedy_decoding_writes():
    rows = [
        GreedyMatch().sample(Example("x"), Answer(1.0, detail={"greedy": greedy})) for greedy in (True, False, True)
    ]
    assert GreedyMatch().total(np.array(rows)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("detail", [{}, {"greedy": None}, {"greedy": 1}])
def test_an_answer_that_does_not_say_whether_it_was_greedy_is_refused(detail):
    with pytest.raises(ValueError, match="detail has greedy"):
        GreedyMatch().sample(Example("x"), Answer(1.0, scores=(1.0, 2, 3), detail=detail))
