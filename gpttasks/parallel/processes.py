"""Requests shared out over the processes that ``torchrun`` started.

The first process does all that a run does; the others load the same model and answer their share of the requests. Each
request is answered by one process, and each reply is gathered once: whatever a message asks for, all processes answer
it with one gather, errors included, so that none waits for another that has failed. What goes between them is pickled
by torch's collectives, within one run; nothing of it is ever written to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from ..errors import RunFailed
from .launch import launched

Result = TypeVar("Result")

LONGEST_WAIT = timedelta(days=30)
"""For the others: the helpers wait for as long as the first process computes scores, say."""
STOP = "stop"


@dataclass(frozen=True)
class Failed:
    """What went wrong in a process."""

    rank: int
    reason: str


class Processes:
    """The processes of a run, seen from one of them. Raises RunFailed if they are not as many as were launched."""

    def __init__(self, device: str) -> None:
        from accelerate import PartialState

        state = PartialState(cpu=not device.startswith("cuda"), timeout=LONGEST_WAIT)
        self.rank, self.count = state.process_index, state.num_processes
        if self.count != launched():
            raise RunFailed(f"{launched()} processes were started, and {self.count} found each other")

    def together(self, message: Any, work: Callable[[], Result]) -> list[Any]:
        """Send a message, do ``work`` beside what the others do about it, and gather what all made of it, by rank.

        Raises RunFailed for what failed in another process, and whatever ``work`` raises.
        """
        _send(message)
        error: Exception | None = None
        own: Any = None
        try:
            own = work()
        except Exception as problem:
            error = problem
        gathered = _gather(own)
        if error is not None:
            raise error
        for other in gathered:
            if isinstance(other, Failed):
                raise RunFailed(f"process {other.rank} of {self.count} failed: {other.reason}")
        return gathered

    def help(self, handlers: dict[str, Callable[[Any], Any]]) -> None:
        """Do what the first process asks for, until it says that it is done. A message is (what, arguments)."""
        while (message := _receive()) != STOP:
            what, arguments = message
            made: Any
            try:
                made = handlers[what](arguments)
            except Exception as error:
                made = Failed(self.rank, f"{type(error).__name__}: {error}")
            _gather(made)

    @contextmanager
    def leading(self) -> Iterator[Processes]:
        """Until the end of the block the others wait for messages; then, and after an error, they stop.

        Not after Ctrl-C: they are in the middle of something then, and whoever started them ends them.
        """
        try:
            yield self
        except Exception:
            with suppress(Exception):
                _send(STOP)
            raise
        _send(STOP)


def _send(message: Any) -> None:
    from accelerate.utils import broadcast_object_list

    broadcast_object_list([message], from_process=0)


def _receive() -> Any:
    from accelerate.utils import broadcast_object_list

    received: list[Any] = [None]
    broadcast_object_list(received, from_process=0)
    return received[0]


def _gather(made: Any) -> list[Any]:
    from accelerate.utils import gather_object

    gathered: list[Any] = gather_object([made])
    return gathered
