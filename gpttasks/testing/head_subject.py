"""A head with a model and examples, and what its answers may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..answer import Answer
from ..backbones.local import LocalBackbone
from ..engine.plain import LocalEngine
from ..example import Example
from ..requests import Engine, Reply
from .replies import CLOSE, close

if TYPE_CHECKING:
    from ..heads.base import Head
    from ..item import Item


@dataclass(frozen=True)
class HeadSubject:
    """A head that is bound to a backbone, and examples."""

    head: Head
    backbone: LocalBackbone
    examples: Sequence[Example]

    @cached_property
    def engine(self) -> Engine:
        """The plain engine, with the head's modules."""
        return LocalEngine(self.backbone, self.head.modules(), 2048)

    def replies(self, example: Example) -> list[Reply]:
        """The replies to the example's requests."""
        return self.engine.answer(self.head.requests(example))

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """The answers to examples that are asked together."""
        asked = [self.head.requests(example) for example in examples]
        replies = iter(self.engine.answer([request for requests in asked for request in requests]))
        pairs = zip(examples, asked, strict=True)
        return [self.head.answer(example, [next(replies) for _ in requests]) for example, requests in pairs]

    @cached_property
    def given(self) -> list[Answer]:
        """The answers to all examples."""
        return self.answers(self.examples)

    @cached_property
    def items(self) -> list[list[Item]]:
        """The items of the first examples; none for a head that only asks."""
        if not self.head.trainable():
            return []
        return [list(self.head.items(example)) for example in self.examples[:4]]


def fits_kind(kind: str, example: Example, answer: Answer) -> bool:
    """Whether an answer is of the kind that a head says it gives."""
    return KINDS.get(kind, _anything)(example, answer)


def _anything(example: Example, answer: Answer) -> bool:
    return True


def _is_label(example: Example, answer: Answer) -> bool:
    index, scores = answer.value, answer.scores
    inside = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(example.choices)
    return inside and (not scores or (len(scores) == len(example.choices) and abs(math.fsum(scores) - 1) < CLOSE))


def _is_span(example: Example, answer: Answer) -> bool:
    passage = "".join(part.text for part in example.prompt if part.kind == "passage")
    return answer.value is None or passage[slice(*answer.value)] == answer.text


def _are_labels(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, list) and all(0 <= index < len(example.choices) for index in answer.value)


def _is_nll(example: Example, answer: Answer) -> bool:
    return len(answer.scores) == 3 and all(math.isfinite(one) and one >= 0 for one in answer.scores)


KINDS: dict[str, Callable[[Example, Answer], bool]] = {
    "label": _is_label,
    "text": lambda example, answer: isinstance(answer.value, str),
    "number": lambda example, answer: isinstance(answer.value, (int, float)) and math.isfinite(answer.value),
    "span": _is_span,
    "labels": _are_labels,
    "nll": _is_nll,
}


def same_answer(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same; a near tie may go either way."""
    if one.detail.get("near_tie") or other.detail.get("near_tie"):
        return True
    return close(one.value, other.value) and close(one.scores, other.scores)
