"""A head's answer to one example, and the kinds of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .example import Example

CLOSE = 1e-4
"""The largest difference, in nats or other units, between equal numbers computed in two ways in single precision."""


@dataclass(frozen=True)
class Answer:
    """A head's answer.

    value:
        a value of the kind that the head ``gives``. ``label``: an index into the example's choices. ``labels``: several
        of them. ``number``: a number. ``text``: a text. ``span``: (first character, character after the last) in the
        passage, or None. ``nll``: the negative log-likelihood in nats. Plugins can register further kinds, see
        :class:`AnswerKind`.
    text:
        the answer as people read it; if empty, the kind's ``show`` makes it.
    scores:
        for ``label``, one probability per choice, adding up to 1; for ``nll``, (nats, tokens, bytes).
    detail:
        anything else worth recording, in JSON types.
    """

    value: Any
    text: str = ""
    scores: tuple[float, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_missing(self) -> bool:
        """Whether the example was skipped, so there is no answer: see :func:`no_answer`."""
        return NOT_ASKED in self.detail


NOT_ASKED = "not_asked"
"""The entry of ``detail`` that says why the model was not asked about an example."""


def no_answer(reason: str) -> Answer:
    """The placeholder answer to an example that was skipped.

    Its value is None and its text is empty. Metrics score it with :meth:`gpttasks.Metric.worst_of`.
    """
    return Answer(None, detail={NOT_ASKED: reason})


def close(left: Any, right: Any) -> bool:
    """Whether values are equal; numbers may differ by :data:`CLOSE`, absolute or relative."""
    if isinstance(left, float) and isinstance(right, (int, float)):
        return abs(left - right) <= max(CLOSE, CLOSE * abs(left))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(close(*pair) for pair in zip(left, right, strict=True))
    return bool(left == right)


def _unchanged(value: Any) -> Any:
    return value


def _answer_text(example: Example, answer: Answer) -> str:
    return answer.text


def _close_answers(one: Answer, other: Answer) -> bool:
    return close(one.value, other.value) and close(one.scores, other.scores)


def _no_columns(example: Example, answer: Answer) -> Mapping[str, Any]:
    return {}


def _any(example: Example, answer: Answer) -> bool:
    return True


@dataclass(frozen=True)
class AnswerKind:
    """A kind of answer, with the name that heads and baselines ``give`` and metrics ``take``.

    name:
        lower-case letters, digits, ``-`` and ``_``, beginning with a letter or digit.
    description:
        the value of such an answer, described on one line.
    store, load:
        convert a value to JSON types, for samples.parquet, and back.
    show:
        returns the answer to an example as people read it; by default, the answer's text.
    columns:
        returns further columns for the answer to an example where ``gpttasks predict`` writes a table, in JSON types.
    same:
        whether two answers to one example are the same, up to rounding; by default, whether their values and scores
        are equal, with numbers within 1e-4.
    fits:
        whether an answer to an example is of this kind.
    measures:
        whether such an answer is a measurement of how likely a text is, with nothing for people to read.
    right, drawn:
        return the right answer to an example, and a random answer to the example at an index of a list. The conformance
        kit tests metrics with them; None if such answers cannot be made up.
    """

    name: str
    description: str
    store: Callable[[Any], Any] = _unchanged
    load: Callable[[Any], Any] = _unchanged
    show: Callable[[Example, Answer], str] = _answer_text
    columns: Callable[[Example, Answer], Mapping[str, Any]] = _no_columns
    same: Callable[[Answer, Answer], bool] = _close_answers
    fits: Callable[[Example, Answer], bool] = _any
    measures: bool = False
    right: Callable[[Example], Answer] | None = None
    drawn: Callable[[Sequence[Example], int], Answer] | None = None
