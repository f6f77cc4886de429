"""What a head trains on: token sequences that stay together, with the terms that they add to each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .requests import NOTHING_CUT, Cut


@dataclass(frozen=True)
class TokenSequence:
    """One row of token ids to train on; the tokens from ``target_start`` (at least 1) to the end are predicted."""

    ids: Sequence[int]
    target_start: int


@dataclass(frozen=True)
class Item:
    """One or more token sequences that stay together in a micro-batch.

    counts:
        for each loss that the head returns, how many terms this item adds to it. The trainer divides each loss by its
        count over the whole step and all processes, so no step depends on how it was cut into micro-batches.
    label:
        the example's label, for heads that train on it.
    """

    sequences: tuple[TokenSequence, ...]
    counts: Mapping[str, int]
    label: int | float | None = None
    cut: Cut = NOTHING_CUT

    @property
    def tokens(self) -> int:
        """The real tokens of all sequences."""
        return sum(len(sequence.ids) for sequence in self.sequences)


def sequences_of(items: Sequence[Item]) -> list[TokenSequence]:
    """The sequences of all items, in order: the rows of a micro-batch."""
    return [sequence for item in items for sequence in item.sequences]


def target_starts(items: Sequence[Item]) -> list[int]:
    """Where the predicted tokens begin in each sequence of the items, as ``Forward.targets`` takes it."""
    return [sequence.target_start for sequence in sequences_of(items)]
