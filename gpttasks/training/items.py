"""The items for training: made in advance or, if each example has exactly one, when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ..errors import RunFailed
from ..example import Example
from ..heads.base import Head
from ..item import Item


class LazyItems(Sequence[Item]):
    """The only item of each example, made when it is first read, and kept.

    Raises IndexError beyond the end, and RunFailed if the head makes no item or several items of an example.
    """

    def __init__(self, head: Head, examples: Sequence[Example]) -> None:
        self.head, self.examples = head, examples
        self._items: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index not in self._items:
            items = list(self.head.items(self.examples[index]))
            if len(items) != 1:
                raise RunFailed(
                    f"head {self.head.name!r} made {len(items)} items of example {self.examples[index].id}, "
                    "but declares one_item = True",
                    hint="set one_item = False in the head",
                )
            self._items[index] = items[0]
        return self._items[index]

    def only(self, places: Sequence[int]) -> LazyItems:
        """The items of the examples at these places."""
        kept = LazyItems(self.head, [self.examples[place] for place in places])
        kept._items = {new: self._items[old] for new, old in enumerate(places) if old in self._items}
        return kept
