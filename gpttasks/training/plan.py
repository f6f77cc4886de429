"""Which items make up which step: a function of the seed and the items alone, so that a run can go on anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..engine.batches import batches_by_tokens
from ..heads.base import Item
from ..tasks.example import seeded_hash


def epoch_steps(
    lengths: Sequence[int], tokens_per_step: int, seed: int, epoch: int, share: float = 1.0
) -> Iterator[list[int]]:
    """The steps of one epoch: indices of items, shuffled, each step with at least ``tokens_per_step`` tokens.

    ``share`` is the part of the items that is seen (less than 1 in a last, broken epoch). The last step has what is
    left; no item is dropped.
    """
    order = sorted(range(len(lengths)), key=lambda index: seeded_hash(seed, "epoch", str(epoch), str(index)))
    step: list[int] = []
    tokens = 0
    # Rounded first: 1.1 epochs - 1 is a little more than 0.1, and must not count as one item more.
    for index in order[: math.ceil(round(share * len(order), 6))]:
        step.append(index)
        tokens += lengths[index]
        if tokens >= tokens_per_step:
            yield step
            step, tokens = [], 0
    if step:
        yield step


def plan_steps(
    lengths: Sequence[int], tokens_per_step: int, seed: int, *, epochs: float | None, steps: int | None
) -> list[list[int]]:
    """All steps of a training, by epochs (a broken number sees part of the last one) or by a number of steps.

    Exactly one of ``epochs`` and ``steps`` is given; ``lengths`` is not empty.
    """
    if not lengths or (epochs is None) == (steps is None):
        raise ValueError(f"wanted items and either epochs or steps, got {len(lengths)} items, {epochs=}, {steps=}")
    plan: list[list[int]] = []
    epoch = 0
    while epochs is None or epoch < epochs:
        share = 1.0 if epochs is None else min(1.0, epochs - epoch)
        for step in epoch_steps(lengths, tokens_per_step, seed, epoch, share):
            plan.append(step)
            if len(plan) == steps:
                return plan
        epoch += 1
    return plan


def micro_batches(items: Sequence[Item], tokens_per_batch: int) -> Iterator[list[Item]]:
    """A step's items in micro-batches of similar length; the sequences of an item stay together.

    An item counts as many rows as it has sequences, each as long as its longest.
    """
    padded = [len(item.sequences) * max(len(sequence.ids) for sequence in item.sequences) for item in items]
    for batch in batches_by_tokens(padded, tokens_per_batch):
        yield [items[index] for index in batch]


def learning_rate_at(step: int, total: int, *, peak: float, warmup: float, schedule: str) -> float:
    """The learning rate of ``step`` (from 0) of ``total``: a linear rise, then constant, linear or cosine decay to 0.

    ``warmup`` below 1 is the fraction of all steps, otherwise a number of steps.
    """
    rise = round(warmup * total) if warmup < 1 else int(warmup)
    if step < rise:
        return peak * (step + 1) / rise
    done = (step - rise) / max(1, total - rise)
    if schedule == "constant":
        return peak
    if schedule == "linear":
        return peak * (1 - done)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
