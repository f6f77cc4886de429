"""From answered examples to rows of sample statistics, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PluginError, RunFailed
from .extraction import extracted

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example
    from .base import Metric


def sample_rows(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer], *, key: str) -> np.ndarray:
    """The statistics of all samples: float64 [samples, statistics], in the order of ``examples``.

    ``key`` names the metric in messages. Raises RunFailed where there is nothing to score, an example lacks a field the
    metric needs, or the metric refuses an answer (ValueError); PluginError where ``sample`` breaks its contract.
    """
    import numpy as np

    if len(examples) != len(answers):
        raise RunFailed(
            f"metric {key!r}: {len(examples)} examples and {len(answers)} answers, expected one answer each"
        )
    if not examples:
        raise RunFailed(f"metric {key!r}: nothing to score: no example was answered")
    lacking = [example for example in examples if not metric.needs <= example.fields]
    if lacking:
        missing = ", ".join(sorted(metric.needs - lacking[0].fields))
        raise RunFailed(
            f"metric {key!r} needs {missing}, which example {lacking[0].id!r} lacks",
            hint=f"{len(lacking)} of {len(examples)} examples lack what it needs",
        )
    examples, answers = extracted(metric, examples, answers)
    _prepare(metric, examples, answers, key)
    samples = [_sample(metric, example, answer, key) for example, answer in zip(examples, answers, strict=True)]
    width = len(samples[0])
    for example, sample in zip(examples, samples, strict=True):
        if len(sample) != width or width == 0:
            raise PluginError(
                f"metric {key!r} gave {len(sample)} statistics for example {example.id!r} and {width} for the first",
                hint="sample() must give the same number, 1 or more, for every example",
            )
    return np.array(samples, dtype=np.float64)


def _prepare(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer], key: str) -> None:
    try:
        metric.prepare(examples, answers)
    except Exception as error:
        raise PluginError(f"metric {key!r} broke on the whole: {type(error).__name__}: {error}") from error


def _sample(metric: Metric, example: Example, answer: Answer, key: str) -> tuple[float, ...]:
    """One checked sample; the worst one for a missing answer."""
    try:
        given = _worst(metric, example) if answer.is_missing else metric.sample(example, answer)
        sample = tuple(float(number) for number in given)
    except ValueError as error:
        raise RunFailed(f"metric {key!r} cannot score example {example.id!r}: {error}") from error
    except Exception as error:
        raise PluginError(
            f"metric {key!r} broke on example {example.id!r}: {type(error).__name__}: {error}",
            hint="sample() raises ValueError for what it cannot score, and nothing else",
        ) from error
    if not all(math.isfinite(number) for number in sample):
        raise PluginError(
            f"metric {key!r} gave {sample} for example {example.id!r}", hint="sample() must give finite numbers"
        )
    return sample


def _worst(metric: Metric, example: Example) -> tuple[float, ...]:
    """The worst statistics of an example. Raises ValueError for a metric without a worst value."""
    worst = metric.worst_of(example)
    if worst is None:
        raise ValueError("the model was not asked about it, and the metric has no worst value")
    return worst
