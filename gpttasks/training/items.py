"""The items that a training draws its steps from: made at once, or, where an example makes just one, when needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ..errors import RunFailed
from ..example import Example
from ..heads.base import Head
from ..item import Item


class LazyItems(Sequence[Item]):
    """The one item of each example, made when it is first asked for, and kept.

    ``IndexError`` beyond the end; RunFailed where the head makes none or several.
    """

    def __init__(self, head: Head, examples: Sequence[Example]) -> None:
        self.head, self.examples = head, examples
        self._made: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index not in self._made:
            made = list(self.head.items(self.examples[index]))
            if len(made) != 1:
                raise RunFailed(
                    f"head {self.head.name!r} made {len(made)} items of example {self.examples[index].id}, "
                    "and says that it makes one of each",
                    hint="set one_item = False in the head",
                )
            self._made[index] = made[0]
        return self._made[index]


def may_not_fit(example: Example, context: int) -> bool:
    """Whether the text of an example that must not be cut may be longer than the context.

    No token is shorter than a byte, so that fewer bytes than tokens always fit, whatever the tokenizer.
    """
    fixed = sum(len(part.text.encode("utf-8", "surrogatepass")) for part in example.prompt if part.kind == "fixed")
    answers = (*example.choices, *example.references, example.target or "")
    return fixed + max(len(answer.encode("utf-8", "surrogatepass")) for answer in answers) + SPECIAL_TOKENS > context


SPECIAL_TOKENS = 16
"""More than a head puts around the text: a beginning, an end, a separator."""
