"""An engine that distributes requests over several processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..example import prompt_text
from ..parallel.processes import Processes
from ..requests import PassedOn, Reply, Request
from .plain import LocalEngine


class ShardedEngine:
    """Distributes requests over the processes, each of which has its own copy of the model."""

    def __init__(self, inner: LocalEngine, processes: Processes) -> None:
        self.inner = inner
        self.processes = processes
        self._work: dict[str, Any] = {}

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises RunFailed if another process failed."""
        shares = share_out(requests, self.processes.count)
        report = _ForAll(advance, self.processes.count, len(requests), shares[0]) if advance else None

        def answer_first() -> tuple[list[Reply], dict[str, Any]]:
            return answer_share(self.inner, requests, shares[0], report)

        results = self.processes.together(("answer", (requests, shares)), answer_first)
        replies: dict[int, Reply] = {}
        for share, (share_replies, _) in zip(shares, results, strict=True):
            replies.update(zip(share, share_replies, strict=True))
        if report:
            report.complete()
        self._work = _total_work([work for _, work in results])
        return [replies[index] for index in range(len(requests))]

    def reset_work(self) -> None:
        """Set the counts of all processes to zero. Raises RunFailed if another process failed."""
        self.processes.together(("reset", None), self.inner.reset_work)
        self._work = {}

    def work(self) -> dict[str, Any]:
        """The work of all processes together; see :meth:`LocalEngine.work`."""
        return {**(self._work or self.inner.work()), "processes": self.processes.count}


class _ForAll(PassedOn):
    """Reports the progress of one process as that of all: the others do about as much at the same time."""

    def __init__(
        self, advance: Callable[[int, int], None], processes: int, requests: int, share: Sequence[int]
    ) -> None:
        super().__init__(advance)
        self._processes, self._left, self._share = processes, requests, share

    def __call__(self, requests: int, tokens: int, /) -> None:
        requests = min(requests * self._processes, self._left)
        self._left -= requests
        super().__call__(requests, tokens * self._processes)

    def prompts_read(self, tokens: int) -> None:
        """See :class:`gpttasks.requests.WatchesPrompts`."""
        super().prompts_read(tokens * self._processes)

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """See :class:`gpttasks.requests.KeepsReplies`; the replies are those of the first process."""
        super().finished({self._share[index]: reply for index, reply in replies.items()})

    def complete(self) -> None:
        """All processes are done, also those that had more requests than the first."""
        super().__call__(self._left, 0)


def answer_share(
    engine: LocalEngine,
    requests: Sequence[Request],
    share: Sequence[int],
    advance: Callable[[int, int], None] | None = None,
) -> tuple[list[Reply], dict[str, Any]]:
    """The replies to the requests at these indices, and the engine's work so far."""
    return engine.answer([requests[index] for index in share], advance), engine.work()


def share_out(requests: Sequence[Request], count: int) -> list[list[int]]:
    """The indices of the requests for each of ``count`` processes.

    Requests with the same prompt go to the same process, and all processes get about the same number of characters.
    """
    families: defaultdict[Any, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        families[request.prompt].append(index)
    sizes = {prompt: len(prompt_text(prompt)) + 20 * len(indices) for prompt, indices in families.items()}
    shares: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for prompt in sorted(families, key=lambda prompt: (-sizes[prompt], families[prompt][0])):
        least = loads.index(min(loads))
        shares[least] += families[prompt]
        loads[least] += sizes[prompt]
    return shares


def _total_work(works: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The work of several engines: the sums of the counts, and the fraction of padding weighted by tokens processed."""
    counts = {key: sum(work[key] for work in works) for key in ("tokens_asked", "tokens_read", "out_of_memory")}
    padded = sum(work["tokens_read"] * work["padding"] for work in works)
    budgets = {"tokens_per_batch": min(work["tokens_per_batch"] for work in works)}
    return works[0] | counts | budgets | {"padding": round(padded / max(1, counts["tokens_read"]), 4)}
