"""Metrics of a text's likelihood."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..example import predicted_text
from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example

LARGEST_EXPONENT = 709.0  # exp of more overflows float64


class _Likelihood(Metric):
    needs = frozenset({"prompt"})
    takes = frozenset({"nll"})
    reads = frozenset({"scores"})
    higher_is_better = False


def _nats_tokens_bytes(answer: Answer) -> tuple[float, float, float]:
    """The three numbers of an answer of kind ``nll``; raises ValueError if they are not three of 0 or more."""
    if len(answer.scores) != 3 or not all(math.isfinite(score) and score >= 0 for score in answer.scores):
        raise ValueError(f"the answer's scores are {answer.scores}, expected (nats, tokens, bytes), each 0 or more")
    nats, tokens, size = answer.scores
    return nats, tokens, size


class Perplexity(_Likelihood):
    """Perplexity for each token: e to the mean negative log-likelihood of a token, in nats, over all texts together.

    It depends on the tokenizer: compare models of different tokenizers by bits per byte.
    """

    name = "perplexity"
    statistic = "ratio"
    scale = (1.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(nats, tokens)."""
        nats, tokens, _ = _nats_tokens_bytes(answer)
        return nats, tokens

    def total(self, rows: np.ndarray) -> float:
        """exp(nats / tokens); NaN without any token, infinity where the mean is beyond 709 nats."""
        return _exp_of_ratio(rows)


class WordPerplexity(_Likelihood):
    """Perplexity for each word: e to the nats of all texts together divided by their words.

    Words are counted as lm-evaluation-harness counts them: the pieces between runs of white space, among them the
    empty one before white space that begins a text and the one after white space that ends it. Of an example with a
    target, only the target is predicted, so it is the words of the target that count, without white space around it.
    """

    name = "word_perplexity"
    statistic = "ratio"
    optional = frozenset({"target"})
    version = "2"  # since 2 the words of a target count, not those of the prompt before it
    scale = (1.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(nats, words of the target, or of the prompt where there is no target)."""
        nats, _, _ = _nats_tokens_bytes(answer)
        return nats, float(len(re.split(r"\s+", predicted_text(example))))

    def total(self, rows: np.ndarray) -> float:
        """exp(nats / words); infinity where the mean is beyond 709 nats."""
        return _exp_of_ratio(rows)


class BytePerplexity(_Likelihood):
    """Perplexity for each byte: e to the nats of all texts together divided by the bytes of their UTF-8 text."""

    name = "byte_perplexity"
    statistic = "ratio"
    scale = (1.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(nats, bytes)."""
        nats, _, size = _nats_tokens_bytes(answer)
        return nats, size

    def total(self, rows: np.ndarray) -> float:
        """exp(nats / bytes); NaN without any byte, infinity where the mean is beyond 709 nats."""
        return _exp_of_ratio(rows)


class BitsPerByte(_Likelihood):
    """The negative log-likelihood of all texts together, in bits, for each byte of their UTF-8 text."""

    name = "bits_per_byte"
    statistic = "ratio"
    scale = (0.0, None)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(nats, bytes)."""
        nats, _, size = _nats_tokens_bytes(answer)
        return nats, size

    def total(self, rows: np.ndarray) -> float:
        """nats / (ln 2 * bytes); NaN without any byte."""
        nats, size = (float(column) for column in rows.sum(axis=0))
        return nats / (math.log(2) * size) if size else math.nan


class GreedyMatch(Metric):
    """The share of answers each token of which was the likeliest: what greedy decoding would have written.

    Of texts whose last word is what is scored, this is the last-word accuracy.
    """

    name = "greedy_match"
    statistic = "share"
    takes = frozenset({"nll"})
    reads = frozenset({"detail"})
    worst = (0.0,)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(1 if each token was the likeliest, else 0)."""
        greedy = answer.detail.get("greedy")
        if not isinstance(greedy, bool):
            raise ValueError(f"the answer's detail has greedy {greedy!r}, expected true or false")
        return (float(greedy),)


def _exp_of_ratio(rows: np.ndarray) -> float:
    """e to the sum of the first column by that of the second: NaN where that is 0, infinity where it overflows."""
    nats, count = (float(column) for column in rows.sum(axis=0))
    if count == 0:
        return math.nan
    mean = nats / count
    return math.exp(mean) if mean <= LARGEST_EXPONENT else math.inf
