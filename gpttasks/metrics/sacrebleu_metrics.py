"""BLEU, chrF and TER as sacreBLEU computes them, on its scale, with its option names and its signatures.

A sample's statistics are those that sacreBLEU extracts from a segment. It sums them over a corpus before it computes
the score, and so does ``total``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field, model_validator

from ..answer import Answer
from .base import Metric
from .extraction import TextMetricOptions
from .unspaced import unspaced_warnings

if TYPE_CHECKING:
    import numpy as np
    from sacrebleu.metrics.base import Metric as LibraryMetric
    from sacrebleu.metrics.bleu import BLEU

    from ..example import Example


ORDER = 4
"""The length of BLEU's longest n-grams."""


class _SacreBleu(Metric):
    """What the three share: all but the library's metric, which a subclass makes of its options."""

    needs = frozenset({"references"})
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    scale: ClassVar[tuple[float | None, float | None]] = (0.0, 100.0)

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """The statistics of the answer as a corpus of one segment; examples may differ in their references' number."""
        streams = [[reference] for reference in example.references]
        (statistics,) = self._library._extract_corpus_statistics([answer.text], streams)
        return tuple(float(number) for number in statistics)

    def total(self, rows: np.ndarray) -> float:
        """The library's score of the summed statistics."""
        # Summed here, since the library sums in a loop, too slow for every resample. A list, since the library changes
        # slices of its argument, and a slice of an array is not a copy.
        return float(self._library._compute_score_from_stats(rows.sum(axis=0).tolist()).score)

    def signature(self, examples: Sequence[Example]) -> str:
        """The library's signature, with its version and the number of references, ``var`` where that varies."""
        counts = {len(example.references) for example in examples}
        library = self._make()
        library.num_refs = counts.pop() if len(counts) == 1 else -1
        return str(library.get_signature())

    @cached_property
    def _library(self) -> LibraryMetric:
        return self._make()

    def _make(self) -> LibraryMetric:
        raise NotImplementedError


class _WithWorst(_SacreBleu):
    """The common part of BLEU and chrF: 0 is the lowest value, which an empty answer gets."""

    def worst_of(self, example: Example) -> tuple[float, ...]:
        """The statistics of an empty answer."""
        return self.sample(example, Answer("", ""))


class BleuOptions(TextMetricOptions):
    """The options of :class:`Bleu`."""

    tokenize: Literal["13a", "intl", "char", "zh", "none"] = Field("13a", description="sacreBLEU's tokenizer")
    lowercase: bool = Field(False, description="whether to ignore case")
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        "exp", description="how n-gram orders without matches are smoothed"
    )
    smooth_value: float | None = Field(
        None, ge=0, le=1000, description="the number that is added, with floor (default 0.1) and add-k (default 1) only"
    )
    effective_order: bool = Field(
        False,
        description="whether to leave out n-gram orders for which the answers are too short (for single sentences)",
    )

    @model_validator(mode="after")
    def _smooth_value_is_used(self) -> BleuOptions:
        if self.smooth_value is not None and self.smooth_method not in ("floor", "add-k"):
            raise ValueError(f"smooth_value is read only with smooth_method floor or add-k, not {self.smooth_method}")
        return self


class Bleu(_WithWorst):
    """Corpus BLEU up to 4-grams, 0 to 100, by sacreBLEU."""

    name = "bleu"
    Options = BleuOptions
    options: BleuOptions

    def _make(self) -> LibraryMetric:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(**self.options.model_dump(exclude={"extract"}))

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces, or all shorter than the longest n-gram."""
        if self.options.tokenize in ("13a", "intl", "none"):
            unspaced = unspaced_warnings(examples, "write tokenize: char, or zh for Chinese")
            if unspaced:
                return unspaced
        if self.options.effective_order:
            return ()
        tokenizer = cast("BLEU", self._library).tokenizer
        lengths = [len(tokenizer(reference).split()) for example in examples for reference in example.references]
        if not lengths or max(lengths) >= ORDER:
            return ()
        return [
            f"is 0 even for perfect answers: it counts sequences of {ORDER} words, and the longest reference has "
            f"only {max(lengths)}; write effective_order: true, or use chrf or exact_match"
        ]


class ChrfOptions(TextMetricOptions):
    """The options of :class:`Chrf`."""

    char_order: int = Field(6, ge=1, le=100, description="the maximum length of character n-grams")
    word_order: int = Field(0, ge=0, le=100, description="the maximum length of word n-grams; 2 gives chrF++")
    beta: int = Field(2, ge=1, le=1000, description="how many times more recall counts than precision")
    lowercase: bool = Field(False, description="whether to ignore case")
    eps_smoothing: bool = Field(
        False, description="whether n-gram orders for which a text is too short count, as in chrF++.py, NLTK and Moses"
    )


class Chrf(_WithWorst):
    """Corpus chrF, the F-score of character n-grams, 0 to 100, by sacreBLEU; chrF++ with ``word_order: 2``."""

    name = "chrf"
    Options = ChrfOptions
    options: ChrfOptions

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces, if words count."""
        if not self.options.word_order:
            return ()
        return unspaced_warnings(examples, "write word_order: 0")

    def _make(self) -> LibraryMetric:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(**self.options.model_dump(exclude={"extract"}))


class TerOptions(TextMetricOptions):
    """The options of :class:`Ter`."""

    normalized: bool = Field(False, description="whether to split off punctuation and decode XML entities")
    no_punct: bool = Field(False, description="whether to remove punctuation")
    asian_support: bool = Field(
        False, description="whether `normalized` splits Asian characters and `no_punct` removes Asian punctuation"
    )
    case_sensitive: bool = Field(False, description="whether to distinguish upper and lower case")


class Ter(_SacreBleu):
    """Corpus translation edit rate by sacreBLEU: 100 times the edits, shifts included, for each reference word.

    It is above 100 where an answer takes more edits than its reference has words. Lower is better.
    """

    name = "ter"
    higher_is_better = False
    scale = (0.0, None)
    Options = TerOptions
    options: TerOptions

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces."""
        if self.options.normalized and self.options.asian_support:
            return ()
        return unspaced_warnings(examples, "write normalized: true and asian_support: true")

    def _make(self) -> LibraryMetric:
        from sacrebleu.metrics.ter import TER

        return TER(**self.options.model_dump(exclude={"extract"}))
