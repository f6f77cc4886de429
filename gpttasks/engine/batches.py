"""Batches of rows of different lengths, within a budget of tokens that counts padding too."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..errors import RunFailed

Result = TypeVar("Result")

DEFAULT_TOKENS = {"cpu": 2048, "cuda": 32768}
"""The default token budget of a training batch, by device type."""
FIRST_TOKENS = {"cpu": 1024, "cuda": 16384}
"""The token budget that an engine starts with, by device type."""
MOST_TOKENS = {"cpu": 8192, "cuda": 2**20}
"""The largest token budget that an engine tries, by device type."""
BATCHES_TIMED = 3
"""The number of full batches to time with each budget; the fastest one counts."""
FASTER = 1.15
"""A doubled budget is kept if its throughput is higher by this factor, which is more than the noise of the clock."""


def default_tokens(device: str) -> int:
    """The default token budget of a training batch on ``device``, such as ``cuda:0``."""
    return DEFAULT_TOKENS.get(device.partition(":")[0], 8192)


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Batches of row indices, rows of similar length together. The longest rows come first, so that a lack of memory
    shows early.

    A batch holds at most ``budget`` tokens, counting every row as long as its longest one. A row that is longer than
    the budget is a batch by itself.
    """
    order = _longest_first(lengths)
    start = 0
    while start < len(order):
        rows = _rows(order, lengths, start, budget, padded=True)
        yield order[start : start + rows]
        start += rows


class TokenBudget:
    """The number of tokens that a batch may hold, padding included.

    If memory runs out, the budget is halved and the batch is retried in two halves. A fixed budget changes in no other
    way. A budget that is not fixed is doubled as long as that raises the throughput of full batches by ``FASTER``.

    tokens, fixed:
        the current budget, and whether the caller chose it.
    halved:
        how often memory ran out.
    real, padded:
        the numbers of tokens and of padding tokens processed so far.
    """

    def __init__(self, fixed: int | None, device: str) -> None:
        kind = device.partition(":")[0]
        self.tokens = fixed or FIRST_TOKENS.get(kind, 4096)
        self.halved = self.real = self.padded = 0
        self._most = MOST_TOKENS.get(kind, 65536)
        self.fixed = self._settled = fixed is not None
        # On a CPU, measure process time: other processes do not inflate it.
        self._clock = time.process_time if kind == "cpu" else time.perf_counter
        self._rates: defaultdict[int, list[float]] = defaultdict(list)

    def spend(
        self,
        lengths: Sequence[int],
        work: Callable[[list[int]], tuple[int, Result]],
        most: int | None = None,
        padded: bool = True,
    ) -> Iterator[Result]:
        """The results of ``work`` on batches of rows of similar length, the longest rows first.

        ``work`` takes the indices of the rows in a batch. It returns the number of tokens processed, padding included,
        and its result. If it runs out of memory, it is called again with each half of the rows. No batch holds more
        than ``most`` tokens, whatever the budget. With ``padded`` False, padding is not counted.

        Raises RunFailed if a single row does not fit into memory.
        """
        order = _longest_first(lengths)
        start = 0
        while start < len(order):
            rows = _rows(order, lengths, start, min(self.tokens, most or self.tokens), padded)
            yield from self._do(order[start : start + rows], lengths, work)
            start += rows

    def reset_counts(self) -> None:
        """Set the counts of tokens, padding and memory shortages to zero; the budget stays."""
        self.halved = self.real = self.padded = 0

    def add(self, tokens: int) -> None:
        """Count tokens that were processed outside of batches."""
        self.real += tokens

    def read_alone(self, tokens: int, read: Callable[[], Result]) -> Result:
        """The result of processing one row of ``tokens`` tokens by itself; the tokens are counted.

        Raises RunFailed if the row does not fit into memory.
        """
        outcome = _unless_out_of_memory([0], lambda _: (tokens, read()))
        if outcome is None:
            raise _too_long(tokens)
        self.add(tokens)
        return outcome[1]

    @property
    def padding(self) -> float:
        """The fraction of all processed tokens that was padding."""
        return self.padded / max(1, self.real + self.padded)

    def _do(
        self, batch: list[int], lengths: Sequence[int], work: Callable[[list[int]], tuple[int, Result]]
    ) -> Iterator[Result]:
        real = sum(lengths[index] for index in batch)
        began = self._clock()
        outcome = _unless_out_of_memory(batch, work)
        if outcome is None:
            if len(batch) == 1:
                raise _too_long(real)
            self.halved += 1
            self._settled = True
            self.tokens = max(1, min(self.tokens, real) // 2)
            middle = (len(batch) + 1) // 2
            yield from self._do(batch[:middle], lengths, work)
            yield from self._do(batch[middle:], lengths, work)
            return
        processed, result = outcome
        self.real += real
        self.padded += processed - real
        if not self._settled and processed > self.tokens * 0.7:
            self._learn(processed / max(1e-9, self._clock() - began))
        yield result

    def _learn(self, rate: float) -> None:
        """Record a throughput in tokens per second; after ``BATCHES_TIMED`` of them, double the budget or halve it."""
        rates = self._rates[self.tokens]
        rates.append(rate)
        if len(rates) < BATCHES_TIMED:
            return
        before = self._rates.get(self.tokens // 2)
        if before and max(rates) < FASTER * max(before):
            self.tokens //= 2
            self._settled = True
        elif self.tokens < self._most:
            self.tokens *= 2
        else:
            self._settled = True


def _too_long(tokens: int) -> RunFailed:
    return RunFailed(
        f"a row of {tokens:,} tokens does not fit into memory",
        hint="set a smaller backbone.context, or a precision that needs less memory",
    )


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def _rows(order: Sequence[int], lengths: Sequence[int], start: int, budget: int, padded: bool) -> int:
    """The number of rows, at least one, that form the batch beginning at ``start``."""
    if padded:
        return min(len(order) - start, max(1, budget // max(1, lengths[order[start]])))
    rows = held = 0
    for index in order[start:]:
        held += lengths[index]
        if held > budget:
            break
        rows += 1
    return max(1, rows)


def _unless_out_of_memory(
    batch: list[int], work: Callable[[list[int]], tuple[int, Result]]
) -> tuple[int, Result] | None:
    """The result of the work; None if memory ran out."""
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

        if not isinstance(error, MemoryError) and not should_reduce_batch_size(error):
            raise
    # Not in the except block: the error is freed at its end, and with it the tensors that its traceback refers to.
    clear_device_cache(garbage_collection=True)
    return None
