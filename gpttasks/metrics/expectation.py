"""The expected score of answers that are drawn at random: one draw would be an accident."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import RunFailed
from ..hashing import seeded_hash
from .base import Metric
from .rows import sample_rows
from .total_checks import checked_total

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example

DRAWS = 1000
"""Draws of all answers, where no closed form gives the expected score."""

MOST_SAMPLES = 200_000
"""Answers that are scored at most, over all examples; above it, each example's answers are drawn from."""

LEAST_EACH = 20
"""Answers of an example that are scored at least, if it has as many."""


def expected_score(
    metric: Metric, examples: Sequence[Example], possible: Sequence[Sequence[Answer]], *, key: str
) -> tuple[float, np.ndarray | None, str]:
    """The expected score where each example's answer is one of ``possible``, each equally likely.

    Returns it with the expected statistics of each sample (float64 [samples, statistics]; None where they have no
    meaning), and how it was computed, in words. Of a share and a mean it is exact, the mean over all answers; of any
    other metric it is the mean of ``DRAWS`` draws. It is NaN where the score is undefined on all draws. Nothing depends
    on the order of the examples.

    Raises RunFailed for an example without a possible answer, and as :func:`sample_rows` does.
    """
    import numpy as np

    for example, answers in zip(examples, possible, strict=True):
        if not len(answers):
            raise RunFailed(f"metric {key!r}: the baseline has no answer to example {example.id!r}")
    order = sorted(range(len(examples)), key=lambda index: examples[index].id)
    if type(metric).prepare is not Metric.prepare:  # the statistics of a sample depend on the other answers
        return _mean_of(_prepared_draws(metric, examples, possible, order, key))
    exact = metric.statistic in ("share", "mean")
    limit = max(LEAST_EACH, MOST_SAMPLES // len(examples))
    kept = [_some(example, answers, limit) for example, answers in zip(examples, possible, strict=True)]
    counts = np.array([len(answers) for answers in kept])
    pairs = [(example, answer) for example, answers in zip(examples, kept, strict=True) for answer in answers]
    rows = sample_rows(metric, [example for example, _ in pairs], [answer for _, answer in pairs], key=key)
    starts = np.cumsum(counts) - counts
    if exact:
        expected: np.ndarray = np.add.reduceat(rows, starts, axis=0) / counts[:, None]
        every = "all" if len(pairs) == sum(map(len, possible)) else f"{len(pairs):,} of the"
        how = f"the expected score: the mean over {every} possible answers"
        return checked_total(metric, expected[order], key), expected, how
    generator = np.random.default_rng(0)
    starts, counts = starts[order], counts[order]
    totals = [checked_total(metric, rows[starts + generator.integers(0, counts)], key) for _ in range(DRAWS)]
    return _mean_of(totals)


def _mean_of(totals: Sequence[float]) -> tuple[float, None, str]:
    """The mean of the scores of all draws, without statistics of samples, and what to know about it."""
    defined = [total for total in totals if math.isfinite(total)]
    if not defined:
        return math.nan, None, f"it has no value on any of {len(totals):,} draws of the baseline's answers"
    how = f"the expected score: the mean of {len(totals):,} draws"
    undefined = len(totals) - len(defined)
    if undefined:
        how += f", without {undefined:,} on which the score is undefined"
    return math.fsum(defined) / len(defined), None, how


def _some(example: Example, answers: Sequence[Answer], limit: int) -> Sequence[Answer]:
    """All answers; of more than ``limit``, as many places drawn by the example's id."""
    if len(answers) <= limit:
        return answers
    return [answers[seeded_hash(0, f"possible answer {place}", example.id) % len(answers)] for place in range(limit)]


def _prepared_draws(
    metric: Metric, examples: Sequence[Example], possible: Sequence[Sequence[Answer]], order: Sequence[int], key: str
) -> list[float]:
    """The score of each of ``DRAWS`` draws, each prepared for itself."""
    import numpy as np

    generator, totals = np.random.default_rng(0), []
    ordered = [examples[index] for index in order]
    for _ in range(DRAWS):
        answers = [possible[index][int(generator.integers(len(possible[index])))] for index in order]
        totals.append(checked_total(metric, sample_rows(metric, ordered, answers, key=key), key))
    return totals
