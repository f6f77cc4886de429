"""Error rates of transcripts: of words and of characters, as jiwer aligns them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ..tasks.transcripts import TranscriptNormaliser, character_errors, normalised_transcript, word_errors
from .base import Metric
from .extraction import TextMetricOptions
from .unspaced import unspaced_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..answer import Answer
    from ..example import Example


class ErrorRateOptions(TextMetricOptions):
    """The options of :class:`WordErrorRate` and :class:`CharacterErrorRate`."""

    normaliser: TranscriptNormaliser = Field(
        "none",
        description="how answer and references are normalised first. none: white space becomes single spaces; "
        "lower: also lower case; basic-english: also without punctuation and symbols, except "
        "apostrophes within words and points within numbers",
    )


class _ErrorRate(Metric):
    """What the two share: errors and the reference's length are summed over all samples before they are divided."""

    needs = frozenset({"references"})
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    higher_is_better = False
    scale: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    Options = ErrorRateOptions
    options: ErrorRateOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(errors, length of the reference) for the reference with the fewest errors, of equals the longest."""
        errors, length = self._count(answer.text, example.references)
        return float(errors), float(length)

    def errors(self, example: Example, text: str) -> float:
        """The errors of a text, after the normaliser. Raises ValueError for an example without a reference."""
        return float(self._count(text, example.references)[0])

    def text_read(self, answer: Answer) -> str:
        """The normalised answer."""
        return normalised_transcript(answer.text, self.options.normaliser)

    def signature(self, examples: Sequence[Example]) -> str:
        """The normaliser, and jiwer with its version."""
        return f"normaliser={self.options.normaliser},jiwer={version('jiwer')}"

    def _count(self, prediction: str, references: Sequence[str]) -> tuple[int, int]:
        raise NotImplementedError


class WordErrorRate(_ErrorRate):
    """Corpus word error rate: substitutions, deletions and insertions for each word of the references, by jiwer.

    It is a fraction, above 1 where there are more errors than words. Words are what white space separates after the
    normaliser. With an empty reference every word of the answer is an insertion; where all references are empty, the
    score is undefined.
    """

    name = "wer"
    statistic = "ratio"

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces."""
        return unspaced_warnings(examples, "use cer")

    def _count(self, prediction: str, references: Sequence[str]) -> tuple[int, int]:
        return word_errors(prediction, references, self.options.normaliser)


class CharacterErrorRate(_ErrorRate):
    """Corpus character error rate: the same as ``wer`` in characters, the spaces between words among them, by jiwer."""

    name = "cer"
    statistic = "ratio"

    def _count(self, prediction: str, references: Sequence[str]) -> tuple[int, int]:
        return character_errors(prediction, references, self.options.normaliser)
