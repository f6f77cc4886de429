"""Metrics of generated text: NIST and ROUGE against references, distinct n-grams and repetition without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..answer import Answer
from ..component import Options
from .base import Metric, ratio_of_sums
from .extraction import TextMetricOptions
from .unspaced import unspaced_warnings

if TYPE_CHECKING:
    import numpy as np

    from ..example import Example

Ngram = tuple[str, ...]


class NistOptions(TextMetricOptions):
    """The options of :class:`Nist`."""

    n: int = Field(5, ge=1, le=100, description="the maximum length of n-grams")
    lowercase: bool = Field(False, description="whether to ignore case")


class Nist(Metric):
    """Corpus NIST (Doddington 2002) as NLTK computes it, over the tokens of sacreBLEU's tokenizer 13a.

    An n-gram weighs as many bits as the references say it informs: all references of what is scored, in every
    resample too. An order for which all answers are too short counts 0, where NLTK divides by zero.
    """

    name = "nist"
    needs = frozenset({"references"})
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    scale = (0.0, None)
    Options = NistOptions
    options: NistOptions

    _information: Mapping[Ngram, float] | None = None

    def prepare(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Weigh the n-grams of all references."""
        counts: Counter[Ngram] = Counter()
        words = 0
        for example in examples:
            for reference in example.references:
                tokens = self._tokens(reference)
                words += len(tokens)
                for order in range(1, self.options.n + 1):
                    counts.update(_ngrams(tokens, order))
        # log(x, 2), not log2(x), as NLTK: they differ in the last bit, which settles ties between references.
        self._information = {
            ngram: math.log((counts[ngram[:-1]] if len(ngram) > 1 else words) / count, 2)
            for ngram, count in counts.items()
        }

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """For each order (bits of the matched n-grams, n-grams); then, over all orders, (reference tokens, tokens).

        Each order has its own best reference: that with the most bits, of equals the longest.
        """
        information = self._information
        if information is None:
            raise RuntimeError("prepare() comes before sample()")
        tokens = self._tokens(answer.text)
        references = [self._tokens(reference) for reference in example.references]
        statistics: list[float] = []
        reference_tokens = 0
        for order in range(1, self.options.n + 1):
            counts = Counter(_ngrams(tokens, order))
            matches = [counts & Counter(_ngrams(reference, order)) for reference in references]
            bits = [sum(information[ngram] * count for ngram, count in match.items()) for match in matches]
            best, length = max(zip(bits, map(len, references), strict=True))
            statistics += [float(best), float(counts.total())]
            reference_tokens += length
        return (*statistics, float(reference_tokens), float(self.options.n * len(tokens)))

    def worst_of(self, example: Example) -> tuple[float, ...]:
        """The statistics of an empty answer."""
        return self.sample(example, Answer("", ""))

    def total(self, rows: np.ndarray) -> float:
        """The sum of the orders' bits for each n-gram, times NLTK's length penalty; NaN without a reference token."""
        from nltk.translate.nist_score import nist_length_penalty

        sums: list[float] = rows.sum(axis=0).tolist()
        *orders, reference_tokens, tokens = sums
        if reference_tokens == 0:
            return math.nan
        precision = sum(bits / max(ngrams, 1.0) for bits, ngrams in zip(orders[::2], orders[1::2], strict=True))
        return float(precision * nist_length_penalty(reference_tokens, tokens))

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces."""
        return unspaced_warnings(examples, "use bleu with tokenize: char, or chrf")

    def _tokens(self, text: str) -> list[str]:
        # What sacreBLEU does before it counts n-grams.
        text = text.lower() if self.options.lowercase else text
        return self._tokenizer(text.rstrip()).split()

    @cached_property
    def _tokenizer(self) -> Callable[[str], str]:
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

        tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]
        return tokenizer


class RougeOptions(TextMetricOptions):
    """The options of :class:`Rouge`."""

    type: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = Field(
        "rougeL",
        description="rouge1, rouge2: n-grams; rougeL: the longest common subsequence; rougeLsum: that of each line",
    )
    measure: Literal["fmeasure", "precision", "recall"] = Field("fmeasure", description="which value is averaged")
    use_stemmer: bool = Field(
        False, description="whether to reduce Latin words to their stems with the Porter stemmer for English"
    )


class Rouge(Metric):
    """The mean ROUGE of an answer and its best reference, which is that of the highest F-measure, by rouge_score.

    Latin text has the words of that library, which reads the letters a to z and digits in lower case. Text in other
    scripts has those of Unicode's word boundaries (UAX 29): each Chinese character is a word.
    """

    name = "rouge"
    scale = (0.0, 1.0)
    statistic = "mean"
    version = "2"  # since 2 other scripts are read
    needs = frozenset({"references"})
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    worst = (0.0,)
    Options = RougeOptions
    options: RougeOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the measure)."""
        scores = self._scorer.score_multi(example.references, answer.text)
        return (float(getattr(scores[self.options.type], self.options.measure)),)

    def signature(self, examples: Sequence[Example]) -> str:
        """How texts are divided into words, and the library with its version."""
        return f"tok:rouge_score+uax29|rouge_score:{version('rouge-score')}"

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        from .rouge_tokenizer import ScriptTokenizer

        return RougeScorer([self.options.type], tokenizer=ScriptTokenizer(self.options.use_stemmer))


class DistinctOptions(Options):
    """The options of :class:`Distinct`."""

    n: int = Field(2, ge=1, le=1000, description="the length of the n-grams, in words")


class Distinct(Metric):
    """How many different n-grams all answers together have, for each of their n-grams (distinct-n, Li et al. 2016).

    Words are what white space separates. It falls as answers become more: compare equally many.
    """

    name = "distinct"
    scale = (0.0, 1.0)
    statistic = "none"
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    Options = DistinctOptions
    options: DistinctOptions

    _answers_with: Mapping[Ngram, int] | None = None

    def prepare(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Count the answers that have each n-gram."""
        counts: Counter[Ngram] = Counter()
        for answer in answers:
            counts.update(set(_ngrams(answer.text.split(), self.options.n)))
        self._answers_with = counts

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(its share of the different n-grams, each shared equally among the answers that have it; its n-grams)."""
        answers_with = self._answers_with
        if answers_with is None:
            raise RuntimeError("prepare() comes before sample()")
        ngrams = _ngrams(answer.text.split(), self.options.n)
        return math.fsum(1 / answers_with[ngram] for ngram in set(ngrams)), float(len(ngrams))

    def total(self, rows: np.ndarray) -> float:
        """Different n-grams for each n-gram; NaN without any n-gram."""
        return ratio_of_sums(rows)


class RepetitionOptions(Options):
    """The options of :class:`Repetition`."""

    n: int = Field(4, ge=1, le=1000, description="the length of the n-grams, in words")


class Repetition(Metric):
    """The share of n-grams that occurred before in the same answer, over the n-grams of all answers.

    Words are what white space separates.
    """

    name = "repetition"
    scale = (0.0, 1.0)
    statistic = "ratio"
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    higher_is_better = False
    Options = RepetitionOptions
    options: RepetitionOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(n-grams that occurred before, n-grams)."""
        ngrams = _ngrams(answer.text.split(), self.options.n)
        return float(len(ngrams) - len(set(ngrams))), float(len(ngrams))


def _ngrams(tokens: Sequence[str], n: int) -> list[Ngram]:
    """All n-grams of ``tokens``, in their order."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))
