"""Rows of compared continuations, kept from request to request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeAlias, TypeVar

from ..example import Prompt, Spans
from .tokenizer import Tokenizer

T = TypeVar("T")

EXAMPLES_KEPT = 64
"""The number of prompts for which the rows of compared continuations are kept."""
ROWS_KEPT = 65_536
"""The most rows that are kept for these prompts together."""
COMPARED_BY_TEXT = 64
"""The most continuations whose equal tuples are recognised by their texts, and not only as the same object."""

Make: TypeAlias = "Callable[[Tokenizer, Prompt, tuple[str, ...], Spans, int], Mapping[str, T]]"


class KeptRows(Generic[T]):
    """What ``make`` gives for continuations that are compared, kept for the requests that follow.

    The requests for the options of an example follow one another and share one tuple of continuations. A long tuple is
    found by its identity: hashing or comparing its texts for each request would take the square of their number. At
    most ``EXAMPLES_KEPT`` comparisons are kept, with at most ``ROWS_KEPT`` rows, and always the last one.
    """

    def __init__(self, make: Make[T]) -> None:
        self._make = make
        self._kept: OrderedDict[Hashable, tuple[Tokenizer, tuple[str, ...], Mapping[str, T]]] = OrderedDict()
        self._rows = 0

    def __call__(
        self, tokenizer: Tokenizer, prompt: Prompt, compared: tuple[str, ...], special: Spans, context: int
    ) -> Mapping[str, T]:
        by_text = len(compared) <= COMPARED_BY_TEXT
        key = (id(tokenizer), prompt, compared if by_text else id(compared), special, context)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[-1]
        rows = self._make(tokenizer, prompt, compared, special, context)
        # The tokenizer and the tuple are kept too: no other object can have their identities meanwhile.
        self._kept[key] = (tokenizer, compared, rows)
        self._rows += len(rows)
        while len(self._kept) > 1 and (len(self._kept) > EXAMPLES_KEPT or self._rows > ROWS_KEPT):
            self._rows -= len(self._kept.popitem(last=False)[1][-1])
        return rows


class KeptNumbers:
    """A number for each of the ``EXAMPLES_KEPT`` last lists, so that it is not computed for each request of a list."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[tuple[object, ...], int]] = OrderedDict()

    def __call__(self, same: tuple[object, ...], equal: Hashable, make: Callable[[], int]) -> int:
        """The number that ``make`` gives for these objects.

        same: what has to be the same object as before, such as long tuples; equal: what only has to be equal.
        """
        key = (*map(id, same), equal)
        if key not in self._kept:
            self._kept[key] = (same, make())  # the objects are kept too: no other can have their identities meanwhile
            if len(self._kept) > EXAMPLES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][1]
