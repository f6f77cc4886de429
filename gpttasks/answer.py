"""What a head says about one example, and the kinds of answer that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .example import Example

CLOSE = 1e-4
"""Nats, and other units, by which numbers may differ in single precision where they are computed in another way."""


@dataclass(frozen=True)
class Answer:
    """A head's answer.

    value:
        of the kind that the head ``gives``: ``label`` an index into the example's choices; ``labels`` several of them;
        ``number`` a number; ``text`` a text; ``span`` (first character, character after the last) in the passage, or
        None; ``nll`` the negative log-likelihood in nats. Plugins register further kinds, see :class:`AnswerKind`.
    text:
        the answer as a person would read it; left empty, the kind's ``show`` gives it.
    scores:
        for ``label``, one probability a choice, summing to 1; for ``nll``, (nats, tokens, bytes).
    detail:
        anything else worth keeping, of JSON types.
    """

    value: Any
    text: str = ""
    scores: tuple[float, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


def close(left: Any, right: Any) -> bool:
    """Whether values are equal, numbers within :data:`CLOSE`, in absolute or relative terms."""
    if isinstance(left, float) and isinstance(right, (int, float)):
        return abs(left - right) <= max(CLOSE, CLOSE * abs(left))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(close(*pair) for pair in zip(left, right, strict=True))
    return bool(left == right)


def _unchanged(value: Any) -> Any:
    return value


def _own_text(example: Example, answer: Answer) -> str:
    return answer.text


def _close_answers(one: Answer, other: Answer) -> bool:
    return close(one.value, other.value) and close(one.scores, other.scores)


def _any(example: Example, answer: Answer) -> bool:
    return True


@dataclass(frozen=True)
class AnswerKind:
    """A kind of answer, by the name that heads and baselines ``give`` and metrics ``take``.

    name:
        of small letters, digits, ``-`` and ``_``, beginning with a letter or digit.
    description:
        what the value of such an answer is, on one line.
    store, load:
        a value in JSON types, as samples.parquet holds it, and the value made again of these.
    show:
        the answer to an example as a person reads it; the answer's own text by default.
    same:
        whether two answers to one example say the same, with room for rounding: by default whether their values and
        scores are equal, numbers within 1e-4.
    fits:
        whether an answer to an example is one of this kind.
    measures:
        whether such an answer measures how likely a text is, and says nothing that could be read.
    right, drawn:
        the right answer to an example, and a random one to the example at a place among several, by which the
        conformance kit tries metrics; None where nobody can make them up.
    """

    name: str
    description: str
    store: Callable[[Any], Any] = _unchanged
    load: Callable[[Any], Any] = _unchanged
    show: Callable[[Example, Answer], str] = _own_text
    same: Callable[[Answer, Answer], bool] = _close_answers
    fits: Callable[[Example, Answer], bool] = _any
    measures: bool = False
    right: Callable[[Example], Answer] | None = None
    drawn: Callable[[Sequence[Example], int], Answer] | None = None
