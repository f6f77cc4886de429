"""Metrics that compare an answer with references as texts: exact match, and F1 over tokens."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from .base import Metric
from .extraction import TextMetricOptions
from .unspaced import unspaced_warnings

if TYPE_CHECKING:
    from ..answer import Answer
    from ..example import Example

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def squad_normalised(text: str) -> str:
    """``text`` in lower case without ASCII punctuation and English articles, its white space single spaces."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", bare).split())


_WORD_END = re.compile(r"(?<=\w)[.,;:]+(?=\s|$)")


def words_normalised(text: str) -> str:
    """``text`` in lower case with single spaces, and without full stops, commas, colons and semicolons after a word.

    Everything that can tell two numbers, formulas or letters apart stays: ``-5``, ``5.0``, ``1/2``, ``C++`` and ``A``.
    """
    return _WORD_END.sub("", " ".join(text.lower().split()))


class MatchOptions(TextMetricOptions):
    """The options of :class:`ExactMatch` and :class:`TokenF1`."""

    normalisation: Literal["words", "squad", "lower", "none"] = Field(
        "words",
        description="how answer and references are normalised, after white space at their ends is removed. words: "
        "lower case, single spaces, and no . , ; or : at the end of a word; squad: lower case, without ASCII "
        "punctuation and English articles, single spaces, as in SQuAD's script, so that 5.0 equals 50; lower: lower "
        "case; none: no further. A task may have another default: that of question-answering is squad",
    )


class _BestMatch(Metric):
    """What exact match and F1 share: each reference is compared with the answer, and the best one counts."""

    needs = frozenset({"references"})
    takes = frozenset({"text", "span"})
    reads = frozenset({"text"})
    worst = (0.0,)
    scale = (0.0, 1.0)
    Options = MatchOptions
    version = "2"  # since 2 the default is words, and white space at the ends never counts
    options: MatchOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the best match with a reference, 0 to 1)."""
        prediction = self._normalised(answer.text)
        return (max(self._match(prediction, reference) for reference in self._references(example)),)

    def text_read(self, answer: Answer) -> str:
        """The normalised answer."""
        return self._normalised(answer.text)

    def _match(self, prediction: str, reference: str) -> float:
        raise NotImplementedError

    def _normalised(self, text: str) -> str:
        # Heads strip what a model writes; a reference that ends in a space could otherwise never be matched.
        text = text.strip()
        how = self.options.normalisation
        if how == "words":
            return words_normalised(text)
        if how == "squad":
            return squad_normalised(text)
        return text.lower() if how == "lower" else text

    def _references(self, example: Example) -> list[str]:
        references = {reference: self._normalised(reference) for reference in example.references}
        if self.options.normalisation == "squad":
            # As in SQuAD 2.0: otherwise a reference such as "The" would make an empty answer right. A reference that is
            # empty before normalisation marks an unanswerable example.
            return [text for reference, text in references.items() if text or not reference.strip()] or [""]
        return list(references.values())


class ExactMatch(_BestMatch):
    """The share of answers that, after normalisation, equal a reference.

    An unanswerable example has an empty reference, which an empty answer equals. As in the script of SQuAD 2.0, a
    reference of which ``normalisation: squad`` leaves nothing counts only where it leaves nothing of all.
    """

    name = "exact_match"
    statistic = "share"

    def _match(self, prediction: str, reference: str) -> float:
        return float(prediction == reference)


class TokenF1(_BestMatch):
    """The mean F1 of an answer's tokens and those of its best reference, counted as often as they occur.

    Tokens are what white space separates after normalisation. Where either side has none, F1 is 1 if both have none,
    else 0: an empty answer to an unanswerable example, which has an empty reference, is right. As in the script of
    SQuAD 2.0, a reference of which ``normalisation: squad`` leaves nothing counts only where it leaves nothing of all.
    """

    name = "token_f1"
    statistic = "mean"

    def warnings(self, examples: Sequence[Example]) -> Sequence[str]:
        """A warning about references in scripts without spaces."""
        return unspaced_warnings(examples, "use exact_match or chrf")

    def _match(self, prediction: str, reference: str) -> float:
        ours, theirs = prediction.split(), reference.split()
        if not ours or not theirs:
            return float(ours == theirs)
        common = (Counter(ours) & Counter(theirs)).total()
        return 2 * common / (len(ours) + len(theirs))
