"""Metrics that compare an answer with references as SQuAD does: exact match, and F1 over tokens."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ..component import Options
from .base import Metric

if TYPE_CHECKING:
    import numpy as np

    from ..answer import Answer
    from ..example import Example

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def squad_normalised(text: str) -> str:
    """``text`` in lower case without ASCII punctuation and English articles, its white space single spaces."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", bare).split())


class MatchOptions(Options):
    """The options of :class:`ExactMatch` and :class:`TokenF1`."""

    normalisation: Literal["squad", "lower", "none"] = Field(
        "squad",
        description="how answer and references are normalised first. squad: lower case, without ASCII punctuation "
        "and English articles, single spaces; lower: lower case; none: not at all",
    )


class _BestMatch(Metric):
    """What exact match and F1 share: each reference is compared with the answer, and the best one counts."""

    needs = frozenset({"references"})
    takes = frozenset({"text", "span"})
    reads = frozenset({"text"})
    Options = MatchOptions
    options: MatchOptions

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """(the best match with a reference, 0 to 1)."""
        prediction = self._normalised(answer.text)
        return (max(self._match(prediction, reference) for reference in self._references(example)),)

    def total(self, rows: np.ndarray) -> float:
        """The mean."""
        return float(rows[:, 0].mean())

    def text_read(self, answer: Answer) -> str:
        """The normalised answer."""
        return self._normalised(answer.text)

    def _match(self, prediction: str, reference: str) -> float:
        raise NotImplementedError

    def _normalised(self, text: str) -> str:
        if self.options.normalisation == "squad":
            return squad_normalised(text)
        return text.lower() if self.options.normalisation == "lower" else text

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

    def _match(self, prediction: str, reference: str) -> float:
        return float(prediction == reference)


class TokenF1(_BestMatch):
    """The mean F1 of an answer's tokens and those of its best reference, counted as often as they occur.

    Tokens are what white space separates after normalisation. Where either side has none, F1 is 1 if both have none,
    else 0: an empty answer to an unanswerable example, which has an empty reference, is right. As in the script of
    SQuAD 2.0, a reference of which ``normalisation: squad`` leaves nothing counts only where it leaves nothing of all.
    """

    name = "token_f1"

    def _match(self, prediction: str, reference: str) -> float:
        ours, theirs = prediction.split(), reference.split()
        if not ours or not theirs:
            return float(ours == theirs)
        common = (Counter(ours) & Counter(theirs)).total()
        return 2 * common / (len(ours) + len(theirs))
