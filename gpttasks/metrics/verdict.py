"""Whether single answers are right, as a metric sees it: for people who look at samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..answer import Answer, close
from ..example import Example
from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..answer import AnswerKind

GOLD = frozenset({"label", "labels", "value", "references"})
"""The fields of an example that say what is right, for metrics of more than one statistic."""


def right_by(
    metric: Metric, kind: AnswerKind, examples: Sequence[Example], answers: Sequence[Answer], rows: np.ndarray
) -> list[bool] | None:
    """Whether each answer is right by the metric; None for a metric that does not tell right from wrong.

    An answer is right if its one statistic is the best value of the metric's scale, or if its several statistics are
    those of a right answer. A metric of probabilities (log-loss, perplexity) does not tell. ``rows`` are the statistics
    [samples, statistics] that the metric has computed of the answers.
    """
    if "scores" in metric.reads:
        return None
    if rows.shape[1] == 1:
        best = metric.scale[1 if metric.higher_is_better else 0]
        return None if best is None else [close(float(best), float(value)) for (value,) in rows]
    if not metric.needs & GOLD or (kind.right is None and metric.reads != {"text"}):
        return None
    try:
        return [
            any(
                close(tuple(row.tolist()), tuple(metric.sample(example, right)))
                for right in _rights(kind, example, metric)
            )
            for example, row in zip(examples, rows, strict=True)
        ]
    except (
        Exception
    ):  # a right answer was made up, which a plugin's metric may not take: the page says that it is not used
        return None


def _rights(kind: AnswerKind, example: Example, metric: Metric) -> Iterator[Answer]:
    """The right answers to an example."""
    if metric.reads == {"text"}:
        yield from (Answer(text, text) for text in example.references)
    elif kind.right is not None:
        yield kind.right(example)
