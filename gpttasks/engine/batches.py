"""Rows of different lengths into batches under a budget of tokens, padding included."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..errors import RunFailed

Result = TypeVar("Result")

DEFAULT_TOKENS = {"cpu": 2048, "cuda": 32768}
"""The budget of a batch in training by kind of device, where the recipe gives none."""
FIRST_TOKENS = {"cpu": 1024, "cuda": 16384}
"""The budget with which an engine begins, by kind of device."""
MOST_TOKENS = {"cpu": 8192, "cuda": 2**20}
"""The largest budget that it tries."""
BATCHES_TIMED = 3
"""Full batches of one budget whose best rate counts."""
FASTER = 1.15
"""A doubled budget is kept if it reads so many times the tokens a second: more than what chance does to the clock."""


def default_tokens(device: str) -> int:
    """The token budget of a batch in training on ``device``, such as ``cuda:0``."""
    return DEFAULT_TOKENS.get(device.partition(":")[0], 8192)


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of rows in batches of similar length, longest first (so that what does not fit shows at once).

    A batch holds at most ``budget`` tokens, counting each row as long as the longest; a row longer than the budget
    makes a batch of its own.
    """
    order = _longest_first(lengths)
    start = 0
    while start < len(order):
        rows = _rows(order, lengths, start, budget, padded=True)
        yield order[start : start + rows]
        start += rows


class TokenBudget:
    """How many tokens a batch may hold, padding included.

    A given budget stays what it is, unless memory runs out: then it is halved, and the batch is tried again in two.
    Where none is given, it is doubled as long as that makes full batches faster by ``FASTER``.

    tokens, given:
        the budget as it stands, and whether it was given.
    halved:
        how often memory ran out.
    real, padded:
        tokens read in batches, and the places that were padding.
    """

    def __init__(self, given: int | None, device: str) -> None:
        kind = device.partition(":")[0]
        self.tokens = given or FIRST_TOKENS.get(kind, 4096)
        self.halved = self.real = self.padded = 0
        self._most = MOST_TOKENS.get(kind, 65536)
        self.given = self._settled = given is not None
        # On a CPU its own seconds, which neighbours do not stretch.
        self._clock = time.process_time if kind == "cpu" else time.perf_counter
        self._rates: defaultdict[int, list[float]] = defaultdict(list)

    def spend(
        self,
        lengths: Sequence[int],
        work: Callable[[list[int]], tuple[int, Result]],
        most: int | None = None,
        padded: bool = True,
    ) -> Iterator[Result]:
        """What ``work`` makes of rows in batches of similar length, longest first.

        ``work`` is called with the indices of the rows, and gives the places that its batch took, padding included, and
        what it made. Where it runs out of memory it is called again, with each half of its rows. No batch holds more
        than ``most`` tokens, whatever the budget. Without padding a row counts what it has.

        Raises RunFailed if a single row does not fit into memory.
        """
        order = _longest_first(lengths)
        start = 0
        while start < len(order):
            rows = _rows(order, lengths, start, min(self.tokens, most or self.tokens), padded)
            yield from self._do(order[start : start + rows], lengths, work)
            start += rows

    def add(self, tokens: int) -> None:
        """Count tokens that were read outside of batches."""
        self.real += tokens

    def read_alone(self, tokens: int, read: Callable[[], Result]) -> Result:
        """What a row that is read by itself gives; its tokens are counted.

        Raises RunFailed if it does not fit into memory.
        """
        done = _unless_out_of_memory([0], lambda _: (tokens, read()))
        if done is None:
            raise _too_long(tokens)
        self.add(tokens)
        return done[1]

    @property
    def padding(self) -> float:
        """The fraction of all places in batches that were padding."""
        return self.padded / max(1, self.real + self.padded)

    def _do(
        self, batch: list[int], lengths: Sequence[int], work: Callable[[list[int]], tuple[int, Result]]
    ) -> Iterator[Result]:
        real = sum(lengths[index] for index in batch)
        began = self._clock()
        done = _unless_out_of_memory(batch, work)
        if done is None:
            if len(batch) == 1:
                raise _too_long(real)
            self.halved += 1
            self._settled = True
            self.tokens = max(1, min(self.tokens, real) // 2)
            middle = (len(batch) + 1) // 2
            yield from self._do(batch[:middle], lengths, work)
            yield from self._do(batch[middle:], lengths, work)
            return
        places, result = done
        self.real += real
        self.padded += places - real
        if not self._settled and places > self.tokens * 0.7:
            self._learn(places / max(1e-9, self._clock() - began))
        yield result

    def _learn(self, rate: float) -> None:
        """After some batches, go on to twice the budget, or back to half of it, by the tokens read a second."""
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
    """How many rows from ``start`` on make a batch: at least one."""
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
    """What the work gives; None if memory ran out."""
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

        if not isinstance(error, MemoryError) and not should_reduce_batch_size(error):
            raise
    # Here, when the error and the tensors that it holds are gone.
    clear_device_cache(garbage_collection=True)
    return None
