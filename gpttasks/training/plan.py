"""The items of each step: they depend on the seed and the items only, so that a run can resume after any step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..engine.batches import batches_by_tokens
from ..hashing import seeded_hash
from ..item import Item

PLANNED = 4096
"""The number of items up to which an estimate plans a whole epoch."""


@dataclass(frozen=True)
class Plan:
    """The steps of a training, for a number of epochs (which may be fractional) or a number of steps.

    Exactly one of ``epochs`` and ``steps`` is set. A step is determined by the number of items before it, and needs the
    number of tokens of its items only, so that items can be made when they are needed.

    Raises ValueError without items, or with both or neither of ``epochs`` and ``steps``.
    """

    items: int
    tokens_per_step: int
    seed: int
    epochs: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if not self.items or (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"got {self.items} items, {self.epochs=}, {self.steps=}; expected items, and either epochs or steps"
            )

    @property
    def total_items(self) -> int | None:
        """The items of all epochs; None if the training ends after a number of steps."""
        # Rounded first: 1.1 epochs of 10 items are slightly more than 11 in floating point, which must not become 12.
        return None if self.epochs is None else max(1, math.ceil(round(self.epochs * self.items, 6)))

    def estimate(self, lengths: Sequence[int]) -> tuple[int, int]:
        """The estimated number of steps and tokens of the training, from the lengths of some or all of its items.

        One epoch is planned with these lengths; each length stands for the same number of items.
        """
        items = min(self.items, PLANNED)
        epoch = replace(self, items=items, epochs=1, steps=None)
        seen = steps = 0
        while seen < items:
            seen += len(epoch.next_step(seen, lambda index: lengths[index % len(lengths)]))
            steps += 1
        tokens = sum(lengths[index % len(lengths)] for index in range(items))
        if self.total_items is None:
            return self.steps or 0, round((self.steps or 0) * tokens / steps)
        epochs = self.total_items / items
        return max(1, round(steps * epochs)), round(tokens * epochs)

    def share(self, step: int, seen: int) -> float:
        """The share of the training that is done after ``step`` steps and ``seen`` items, from 0 to 1."""
        total = self.total_items
        return seen / total if total is not None else step / (self.steps or 1)

    def next_step(self, seen: int, tokens_of: Callable[[int], int]) -> list[int]:
        """The indices of the items of the step after ``seen`` items: shuffled, at least ``tokens_per_step`` tokens.

        No item is dropped: the last step of an epoch has the remaining ones.
        """
        epoch, position = divmod(seen, self.items)
        order = shuffled(self.items, self.seed, epoch)
        end = self.items if self.total_items is None else min(self.items, self.total_items - epoch * self.items)
        step: list[int] = []
        tokens = 0
        for place in range(position, end):
            step.append(order[place])
            tokens += tokens_of(order[place])
            if tokens >= self.tokens_per_step:
                break
        return step


@lru_cache(maxsize=2)
def shuffled(items: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The indices of all items in the order of an epoch."""
    return tuple(sorted(range(items), key=lambda index: seeded_hash(seed, "epoch", str(epoch), str(index))))


def different_items(items: int, seed: int, seen: int) -> Sequence[int]:
    """The indices of the different items in the steps that make up ``seen`` items, which counts one for each epoch."""
    return range(items) if seen >= items else shuffled(items, seed, 0)[:seen]


def micro_batches(items: Sequence[Item], tokens_per_batch: int) -> Iterator[list[Item]]:
    """The items of a step in micro-batches of similar length; the rows of an item stay together.

    Each row of an item counts as long as the longest.
    """
    padded = [len(item.rows) * max(len(row.ids) for row in item.rows) for item in items]
    for batch in batches_by_tokens(padded, tokens_per_batch):
        yield [items[index] for index in batch]


def learning_rate(
    step: int, before: float, after: float, warmed: float, *, peak: float, warmup: float, schedule: str
) -> tuple[float, float]:
    """The learning rate of ``step`` (from 0), and the share of the training that was done when the warm-up ended.

    A linear rise, then constant, linear or cosine decay to 0. ``before`` and ``after`` are the shares of the training
    done before and after the step; ``warmed`` is the second result for the previous step (0 for the first step).
    ``warmup`` below 1 is a share of the training, otherwise a number of steps.
    """
    if warmup >= 1 and step < int(warmup):
        return peak * (step + 1) / int(warmup), after
    if warmup < 1 and before < warmup - 1e-9:
        return peak * min(1.0, after / warmup), after
    done = (before - warmed) / max(1e-9, 1 - warmed)
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[schedule]
    return peak * factor, warmed
