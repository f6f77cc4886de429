"""Rows of different lengths into batches under a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

DEFAULT_TOKENS = {"cpu": 2048, "cuda": 32768}
"""The budget of a batch by kind of device, where the recipe gives none."""


def default_tokens(device: str) -> int:
    """The token budget of a batch on ``device``, such as ``cuda:0``."""
    return DEFAULT_TOKENS.get(device.partition(":")[0], 8192)


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of rows in batches of similar length, longest first (so that what does not fit shows at once).

    A batch holds at most ``budget`` tokens, counting each row as long as the longest; a row longer than the budget
    makes a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows
