"""A head with a model and examples, and the comparison of its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..answer import Answer, AnswerKind
from ..backbones.local import LocalBackbone
from ..engine.plain import LocalEngine
from ..example import Example
from ..plugins import load_plugins
from ..requests import Engine, Reply

if TYPE_CHECKING:
    from ..heads.base import Head
    from ..item import Item


@dataclass(frozen=True)
class HeadSubject:
    """A head that is bound to a backbone, and examples."""

    head: Head
    backbone: LocalBackbone
    examples: Sequence[Example]

    @property
    def kind(self) -> AnswerKind:
        """The kind of its answers."""
        return self.head.answer_kind

    @cached_property
    def engine(self) -> Engine:
        """The plain engine, with the head's modules."""
        return LocalEngine(self.backbone, self.head.modules(), 2048)

    def replies(self, example: Example) -> list[Reply]:
        """The replies to the example's requests."""
        return self.engine.answer(self.head.requests(example))

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """The answers to examples that are asked together."""
        requests_of = [self.head.requests(example) for example in examples]
        replies = iter(self.engine.answer([request for requests in requests_of for request in requests]))
        pairs = zip(examples, requests_of, strict=True)
        return [self.head.answer(example, [next(replies) for _ in requests]) for example, requests in pairs]

    @cached_property
    def all_answers(self) -> list[Answer]:
        """The answers to all examples."""
        return self.answers(self.examples)

    @cached_property
    def items(self) -> list[list[Item]]:
        """The items of the first examples; empty for a head that is not trained."""
        if not self.head.trainable():
            return []
        return [list(self.head.items(example)) for example in self.examples[:4]]


def same_answer(kind: AnswerKind, one: Answer, other: Answer) -> bool:
    """Whether two answers of a kind are the same; a near tie may go either way."""
    if one.detail.get("near_tie") or other.detail.get("near_tie"):
        return True
    return kind.same(one, other)


def known_kinds(more: Iterable[AnswerKind] = ()) -> dict[str, AnswerKind]:
    """The kinds of answer that installed plugins register, and ``more``, by name."""
    return {**load_plugins().answer_kinds, **{kind.name: kind for kind in more}}
