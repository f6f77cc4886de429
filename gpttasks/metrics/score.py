"""A score: a number with its interval, its sample count and its signature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PluginError, RunFailed, one_line
from .base import total_of
from .evaluate_metric import evaluate_total
from .expectation import expected_score
from .intervals import Interval, interval_of
from .rows import sample_rows
from .total_checks import check_total

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example
    from .base import Metric


@dataclass(frozen=True)
class Score:
    """A score as ``run.json`` holds it.

    value, low, high:
        the score and its interval at ``level``; None where there is none, never NaN or infinite.
    n, groups:
        the samples, and the groups of samples that may depend on each other; ``groups`` is None without groups.
    method:
        the method of the interval, see :class:`~gpttasks.metrics.intervals.Interval`.
    scale:
        the lowest and highest possible value, None where unbounded.
    measure, way:
        the two halves of the signature: what was measured, and how the answers came about.
    reason:
        why a number is missing, or what to know about the interval; else None.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    n: int
    groups: int | None
    scale: tuple[float | None, float | None]
    higher_is_better: bool
    split: str
    measure: str
    way: str
    method: str = "percentile"  # of all intervals before the method was recorded
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is None and not self.reason:
                raise ValueError(f"a score whose {name} is None needs a reason")
            if number is not None and not math.isfinite(number):
                raise ValueError(f"a score's {name} is finite or None with a reason, got {number}")

    @property
    def of_baseline(self) -> bool:
        """Whether a baseline's answers were scored, and not the model's."""
        return self.way.startswith("baseline:")

    def as_dict(self) -> dict[str, Any]:
        """The fields, of JSON types."""
        return {**vars(self), "scale": list(self.scale)}


def score_samples(
    metric: Metric,
    examples: Sequence[Example],
    answers: Sequence[Answer],
    *,
    key: str,
    split: str,
    measure: str,
    way: str,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Score, np.ndarray]:
    """The score of answered examples, and the statistics of each sample, float64 [samples, statistics].

    ``key`` is the metric's name in the run. The value is the one that the metric as ``evaluate.Metric`` computes, once;
    the interval is computed from the statistics. Neither depends on the order of the examples.

    Raises RunFailed where the metric cannot score an example and PluginError where it breaks its contract.
    """
    rows = sample_rows(metric, examples, answers, key=key)
    order = sorted(range(len(rows)), key=lambda index: examples[index].id)
    ordered, in_order = [examples[index] for index in order], rows[order]
    value = _evaluated(ordered, [answers[index] for index in order], metric, total_of(metric, in_order), key)
    if math.isfinite(value):
        check_total(metric, in_order, value, key)
        interval = interval_of(
            in_order,
            partial(total_of, metric),
            metric.statistic,
            groups=groups_of(ordered),
            level=level,
            resamples=resamples,
            seed=seed,
        )
    else:
        interval = Interval(None, None, "none", None, f"{key} is undefined on these samples")
    return _score(metric, value, interval, level, len(rows), split, measure, way), rows


def score_expected(
    metric: Metric,
    examples: Sequence[Example],
    possible: Sequence[Sequence[Answer]],
    *,
    key: str,
    split: str,
    measure: str,
    way: str,
    level: float = 0.95,
) -> tuple[Score, np.ndarray | None]:
    """The expected score of answers drawn from ``possible``, which has no interval, and its reason says how.

    Returns the expected statistics of each sample too; None where they have no meaning. Raises as
    :func:`~gpttasks.metrics.expectation.expected_score` does.
    """
    value, rows, how = expected_score(metric, examples, possible, key=key)
    reason = how if math.isfinite(value) else f"{key} is undefined on these samples: {how}"
    interval = Interval(None, None, "none", None, reason)
    return _score(metric, value, interval, level, len(examples), split, measure, way), rows


def groups_of(examples: Sequence[Example]) -> list[str | None] | None:
    """The group of each example; None if none has any."""
    groups = [example.group for example in examples]
    return groups if any(group is not None for group in groups) else None


def _score(
    metric: Metric, value: float, interval: Interval, level: float, n: int, split: str, measure: str, way: str
) -> Score:
    low, high = (None if end is None else within(metric.scale, end) for end in (interval.low, interval.high))
    return Score(
        value=value if math.isfinite(value) else None,
        low=low,
        high=high,
        level=level,
        n=n,
        groups=interval.groups,
        scale=metric.scale,
        higher_is_better=metric.higher_is_better,
        split=split,
        measure=measure,
        way=way,
        method=interval.method,
        reason=interval.reason,
    )


def within(scale: tuple[float | None, float | None], number: float) -> float:
    """The number, or the end of the scale that it is beyond: a t interval does not know where a scale ends."""
    lowest, highest = scale
    if lowest is not None and number < lowest:
        return lowest
    return highest if highest is not None and number > highest else number


def _evaluated(examples: Sequence[Example], answers: Sequence[Answer], metric: Metric, total: float, key: str) -> float:
    """The value that the Evaluate metric computes of the declared fields, which must equal the total of the rows.

    Raises PluginError where it does not, or fails: the metric then reads a field that it does not declare.
    """
    hint = "it must name every field it reads in `needs` (of examples) and `reads` (of answers)"
    try:
        value = evaluate_total(metric, examples, answers)
    except (PluginError, RunFailed) as error:  # with all fields, it has scored the same samples
        raise PluginError(f"metric {key!r} fails as an Evaluate metric: {one_line(error)}", hint=hint) from error
    if not math.isclose(value, total, rel_tol=1e-9, abs_tol=1e-12) and not (math.isnan(value) and math.isnan(total)):
        raise PluginError(f"metric {key!r} gives {total} for the examples and {value} as an Evaluate metric", hint=hint)
    return value
