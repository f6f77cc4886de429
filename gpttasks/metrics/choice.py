"""Metrics of answers that rank the example's choices by log-likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..component import Options
from ..errors import DataError
from ..requests import best_option
from .base import Metric
from .classification import _class_index

if TYPE_CHECKING:
    from ..answer import Answer
    from ..example import Example


class NormalisedAccuracyOptions(Options):
    """The options of :class:`NormalisedAccuracy`."""

    by: Literal["bytes", "characters", "tokens"] = Field(
        "bytes",
        description="what the log-likelihood of a choice is divided by: its number of UTF-8 bytes, of characters "
        "(acc_norm of lm-evaluation-harness) or of tokens",
    )


class NormalisedAccuracy(Metric):
    """The share of examples whose right choice has the highest log-likelihood for its length.

    It says what accuracy would be with that normalisation, from the same answers. ``by: characters`` is the acc_norm
    of lm-evaluation-harness; bytes give the same for ASCII. A tie (5e-5) is decided by a hash of the example's id and
    the choice.
    """

    name = "normalised_accuracy"
    statistic = "share"
    needs = frozenset({"label", "choices"})
    takes = frozenset({"label"})
    reads = frozenset({"detail"})
    worst = (0.0,)
    version = "2"  # since 2 ties are not the first choice's
    Options = NormalisedAccuracyOptions
    options: NormalisedAccuracyOptions

    def check(self, example: Example) -> None:
        """Raises DataError where a choice is empty, and its length is what the log-likelihood is divided by."""
        if self.options.by != "tokens" and "" in example.choices:
            raise DataError(
                f"metric {self.name} with by {self.options.by} cannot divide by the length of an empty choice: "
                f"example {example.id!r}, choice {example.choices.index('')}"
            )

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(1 if the best choice is the right one, else 0)."""
        label = _class_index(example.label, "label", example)
        logprobs = _one_each(example, answer, "logprobs")
        values = [logprob / length for logprob, length in zip(logprobs, self._lengths(example, answer), strict=True)]
        best, _ = best_option(values, example.choices, seed=0, id=example.id)
        return (float(best == label),)

    def _lengths(self, example: Example, answer: Answer) -> Sequence[float]:
        """The length of each choice, above 0."""
        if self.options.by == "tokens":
            lengths = _one_each(example, answer, "tokens")
        elif self.options.by == "bytes":
            lengths = [len(choice.encode()) for choice in example.choices]
        else:
            lengths = [len(choice) for choice in example.choices]
        if min(lengths) <= 0:
            raise ValueError(f"the choices have {list(lengths)} {self.options.by}, expected 1 or more each")
        return lengths


def _one_each(example: Example, answer: Answer, key: str) -> Sequence[float]:
    """``answer.detail[key]``; raises ValueError if it is not one finite number for each choice."""
    numbers: Any = answer.detail.get(key)
    if not isinstance(numbers, (list, tuple)) or len(numbers) != len(example.choices):
        raise ValueError(f"the answer's detail has {key} {numbers!r}, expected {len(example.choices)}, one per choice")
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise ValueError(f"the answer's detail has {key} {numbers!r}, expected finite numbers")
    return numbers
