"""The metric contract: numbers for one sample, and the total over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..component import Component

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example


class Metric(Component):
    """A metric in two stages, so that an interval costs sums and not recomputation.

    ``sample`` turns one answered example into a fixed number of floats (sufficient statistics); ``total`` turns the
    rows of many samples into the score, and is called again on each resample. A subclass declares what follows as class
    attributes; where its options decide, as properties.

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
        the (lowest, highest) possible value, None where unbounded.
    sample_examples:
        examples on which the conformance kit checks it; needed where generated ones do not suit it.
    """

    kind = "metric"
    sample_examples: ClassVar[Sequence[Example]] = ()

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
        return 0.0, 1.0

    def check(self, example: Example) -> None:
        """Called for each example before anything is trained or asked. Raises DataError if it cannot be scored."""

    def prepare(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Called with all that will be scored, before the first ``sample``: for weights that depend on the whole."""

    def signature(self, examples: Sequence[Example]) -> str | None:
        """What else settles the number, in the words of the library that computes it; goes into the measure."""
        return None

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """Why the score of these examples may mislead, as sentences that go on after the metric's key; usually none."""
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
        """The score over ``rows`` (float64, one row a sample, n >= 1).

        May be NaN where the score is undefined on these rows (it is then reported as null, with the reason).
        """
        raise NotImplementedError
