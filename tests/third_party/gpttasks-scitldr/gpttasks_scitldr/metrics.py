"""The metrics ``scitldr-rouge``, the data set's own score, and ``scitldr-shown``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from statistics import fmean
from typing import Any, Literal

from gpttasks import Answer, Example, Metric, Options
from pydantic import Field


class SciTldrRougeOptions(Options):
    """The options of the metric ``scitldr-rouge``."""

    type: Literal["rouge1", "rouge2", "rougeL"] = Field(
        "rouge1", description="rouge1, rouge2: words and pairs of words; rougeL: the longest common subsequence"
    )
    references: Literal["best", "author", "mean"] = Field(
        "best",
        description="best: the reference with the highest ROUGE-1, whatever the type; author: the first one; mean: the "
        "mean over all",
    )
    use_stemmer: bool = Field(False, description="whether words are cut to their stems by Porter's rules for English")


class SciTldrRouge(Metric):
    """The mean ROUGE F-measure of summaries as SciTLDR's authors score them, by rouge_score.

    Of several references it is the one with the highest ROUGE-1 that counts, the first of equals, for ROUGE-2 and
    ROUGE-L too. The authors call ROUGE-1.5.5, another implementation: numbers of the two are not to be compared. This
    one reads the letters a to z and digits in lower case, and nothing else: texts in other scripts score 0.
    """

    name = "scitldr-rouge"
    statistic = "mean"
    Options = SciTldrRougeOptions
    needs = frozenset({"references"})
    takes = frozenset({"text"})
    reads = frozenset({"text"})
    options: SciTldrRougeOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the F-measure)."""
        return (self._f_measure(answer.text, example.references),)

    def errors(self, example: Example, text: str) -> float:
        """What the F-measure lacks of 1: by it the baseline ``oracle`` finds the best sentence."""
        return 1 - self._f_measure(text, example.references)

    def signature(self, examples: Sequence[Example]) -> str:
        """The library with its version."""
        return f"rouge_score={version('rouge-score')}"

    def _f_measure(self, text: str, references: Sequence[str]) -> float:
        if self.options.references == "author":
            references = references[:1]
        scores = [self._scorer.score(reference, text) for reference in references]
        if self.options.references == "best":
            scores = [max(scores, key=lambda score: float(score["rouge1"].fmeasure))]
        return fmean(score[self.options.type].fmeasure for score in scores)

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer(["rouge1", self.options.type], use_stemmer=self.options.use_stemmer)


class SciTldrShown(Metric):
    """The share of the papers' characters in sentences that the prompt shows whole: 1 where none is left out.

    It counts what ``task.sentences`` and ``task.characters`` leave out. What the context of a model leaves out of that
    is counted by gpttasks itself.
    """

    name = "scitldr-shown"
    statistic = "ratio"
    needs = frozenset({"prompt", "choices"})
    takes = frozenset({"text"})
    reads = frozenset()

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(characters of the sentences that are shown, of all sentences)."""
        prompt = "".join(part.text for part in example.prompt)
        shown = sum(len(sentence) for sentence in example.choices if sentence in prompt)
        return float(shown), float(sum(map(len, example.choices)))
