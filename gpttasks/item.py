"""Training items: rows of token ids that stay together, and the number of terms that they add to each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .requests import Cut
from .tokens.rows import TokenRow


@dataclass(frozen=True)
class Item:
    """One or more rows of token ids that stay together in a micro-batch.

    counts:
        for each loss that the head returns, how many terms this item adds to it. The trainer divides each loss by its
        count over the whole step and all processes, so that no step depends on the micro-batches.
    label:
        the example's label, for heads that train on it.
    """

    rows: tuple[TokenRow, ...]
    counts: Mapping[str, int]
    label: int | float | None = None

    @property
    def tokens(self) -> int:
        """The number of tokens in all rows, without padding."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def cut(self) -> Cut:
        """What was cut from the prompt: the maximum over all rows."""
        cuts = [row.cut for row in self.rows]
        return Cut(*(max(getattr(cut, name) for cut in cuts) for name in ("tokens", "shots", "at_start")))


def rows_of_items(items: Sequence[Item]) -> list[TokenRow]:
    """The rows of all items of a micro-batch, in order."""
    return [row for item in items for row in item.rows]


def target_starts(items: Sequence[Item]) -> list[int]:
    """The index of the first predicted token in each row of the items, for ``Forward.targets``."""
    return [row.start for row in rows_of_items(items)]
