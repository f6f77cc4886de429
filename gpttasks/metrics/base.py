"""The metric contract: numbers for one sample, and the total over many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..component import Component
from ..declarations import BOOLEAN, EXAMPLES, FIELDS, TEXT, Declaration, frozenset_of_text
from ..errors import PluginError
from .bins import calibration_error
from .intervals import STATISTICS, Statistic

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example


ANSWER_FIELDS = ("value", "text", "scores", "detail")
"""The fields of an answer that a metric may read."""


def _is_scale(value: Any) -> bool:
    """Whether a value is a pair of finite numbers, the lower first, each of which may be None."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    ends = [end for end in value if end is not None]
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
        return False
    return len(ends) < 2 or ends[0] < ends[1]


class Metric(Component):
    """A metric in two stages, so that an interval costs sums and not recomputation.

    ``sample`` turns one answered example into a fixed number of floats (sufficient statistics); ``total`` turns the
    rows of many samples into the score, and is called again on each resample. A subclass declares what follows as class
    attributes; where its options decide, as properties.

    statistic:
        what ``total`` is, which chooses the method of the interval. ``share``: the share of samples whose first number
        is 1 and not 0; ``mean``: the mean of the first numbers; ``ratio``: the sum of the first numbers divided by
        that of the second, or a function of it; ``calibration``: the gap between the means of the first numbers
        (confidences from 0 to 1) and of the second (1 if right, else 0) in each bin (the third), weighted by its
        samples; ``corpus`` (the default): any other function of all samples; ``none``: one for which no interval is
        valid. Only ``corpus`` and ``none`` need a ``total`` of their own.

    needs:
        the example fields it reads (``label``, ``references``, ...).
    optional:
        the example fields it also reads if they are filled.
    takes:
        the kinds of answer it can score (``label``, ``text``, ``nll``, ...).
    reads:
        the fields of an answer it reads (``value``, ``text``, ``scores``, ``detail``).
    version:
        goes into the measure; raise it when a number changes for the same samples.
    scale:
        the (lowest, highest) possible value, None where unbounded. Without it, shares and calibration errors are from
        0 to 1, and any other metric is unbounded.
    worst:
        the statistics of the worst possible answer, such as ``(0.0,)`` for accuracy; None for a metric without a worst
        value. With ``data.too_long: skip``, examples that do not fit the model get it. If it depends on the example,
        override :meth:`worst_of` instead.
    sample_examples:
        examples on which the conformance kit checks it; needed where generated ones do not suit it.
    """

    kind = "metric"
    sample_examples: ClassVar[Sequence[Example]] = ()
    declarations: ClassVar = {
        "needs": FIELDS,
        "optional": FIELDS,
        "takes": frozenset_of_text(
            "a frozenset of the kinds of answer that it scores, such as frozenset({'label'})", required=True
        ),
        "reads": frozenset_of_text(f"a frozenset of fields of an answer: {', '.join(ANSWER_FIELDS)}", ANSWER_FIELDS),
        "statistic": Declaration(f"one of {', '.join(STATISTICS)}", lambda value: value in STATISTICS),
        "version": TEXT,
        "higher_is_better": BOOLEAN,
        "scale": Declaration(
            "a pair (lowest, highest) of finite numbers, the lowest first, or None, such as (0.0, 1.0)", _is_scale
        ),
        "sample_examples": EXAMPLES,
    }
    required_methods: ClassVar = (("sample",), ("total", "statistic"))

    @property
    def needs(self) -> frozenset[str]:
        """See the class; a plain class attribute in a subclass, or a property where its options decide."""
        return frozenset()

    @property
    def optional(self) -> frozenset[str]:
        """See the class."""
        return frozenset()

    @property
    def takes(self) -> frozenset[str]:
        """See the class."""
        return frozenset()

    @property
    def reads(self) -> frozenset[str]:
        """See the class."""
        return frozenset({"value"})

    @property
    def statistic(self) -> Statistic:
        """See the class."""
        return "corpus"

    @property
    def version(self) -> str:
        """See the class."""
        return "1"

    @property
    def higher_is_better(self) -> bool:
        """See the class."""
        return True

    @property
    def scale(self) -> tuple[float | None, float | None]:
        """See the class."""
        return (0.0, 1.0) if self.statistic in ("share", "calibration") else (None, None)

    @property
    def worst(self) -> tuple[float, ...] | None:
        """See the class."""
        return None

    @property
    def has_worst(self) -> bool:
        """Whether it has a worst value."""
        return self.worst is not None or type(self).worst_of is not Metric.worst_of

    def worst_of(self, example: Example) -> tuple[float, ...] | None:
        """The statistics of the worst possible answer to the example: :attr:`worst`, unless overridden.

        Their number is that of :meth:`sample`.
        """
        return self.worst

    def check(self, example: Example) -> None:
        """Called for each example before anything is trained or asked. Raises DataError if it cannot be scored."""

    def prepare(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Called with all that will be scored, before the first ``sample``: for weights that depend on the whole.

        The answer to a skipped example has the value None and an empty text.
        """

    def signature(self, examples: Sequence[Example]) -> str | None:
        """What else settles the number, in the words of the library that computes it; goes into the measure."""
        return None

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """Reasons why the score of these examples may mislead: sentences without their subject, the metric's key."""
        return ()

    def errors(self, example: Example, text: str) -> float | None:
        """How many errors a text has, for a metric that counts them: the baseline ``oracle`` picks the fewest.

        None for any other metric.
        """
        return None

    def text_read(self, answer: Answer) -> str | None:
        """The text that is compared with the references, if it is made of ``answer.text``; kept with the sample.

        None for a metric that reads the answer as it is.
        """
        return None

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """The statistics of one sample: always the same number of finite floats.

        Raises ValueError, saying what was got and what was expected, for an answer it cannot score.
        """
        raise NotImplementedError

    def total(self, rows: np.ndarray) -> float:
        """The score over ``rows`` (float64, one row a sample, n >= 1): what ``statistic`` says.

        May be NaN where the score is undefined on these rows (it is then reported as null, with the reason).
        """
        total = ratio_of_sums(rows) if self.statistic == "ratio" else declared_total(self, rows)
        if total is not None:
            return total
        raise PluginError(
            f"metric {self.name!r} has no total()",
            hint="define total(rows), or declare statistic as share, mean, ratio or calibration",
        )


def total_of(metric: Metric, rows: np.ndarray) -> float:
    """``metric.total`` of rows that it cannot change: the interval and the samples need them as they are."""
    fixed = rows.view()
    fixed.flags.writeable = False
    return metric.total(fixed)


def declared_total(metric: Metric, rows: np.ndarray) -> float | None:
    """The total of ``rows`` where the statistic that the metric declares settles it; None where it does not.

    Raises PluginError for samples whose numbers are not what the statistic needs.
    """
    if metric.statistic in ("share", "mean"):
        return float(rows[:, 0].mean())
    if metric.statistic != "calibration":
        return None
    try:
        return calibration_error(rows)
    except ValueError as error:
        raise PluginError(f"metric {metric.name!r} declares statistic 'calibration': {error}") from error


def ratio_of_sums(rows: np.ndarray) -> float:
    """The sum of the first column divided by that of the second; NaN where that is 0."""
    part, whole = float(rows[:, 0].sum()), float(rows[:, 1].sum())
    return part / whole if whole else math.nan
