"""Communication between the processes that ``torchrun`` started.

The first process carries out the run; the others load the same model and answer their share of the requests. The first
process broadcasts a message, and every process ends the work for it with one gather, even if the work failed, so that
no process waits for another one that has failed. torch's collectives pickle what they exchange; none of it is ever
written to a file.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from ..errors import RunFailed, one_line
from .launch import launched

Result = TypeVar("Result")

TIMEOUT = timedelta(days=30)
"""The timeout of a collective: helpers wait while the first process computes scores."""
STOP = "stop"


@dataclass(frozen=True)
class Failed:
    """The error of another process, on one line."""

    rank: int
    reason: str


class Processes:
    """The processes of a run, seen from one of them.

    rank, count:
        the number of this process, from 0, and of all processes.

    Raises RunFailed if fewer or more processes joined than ``torchrun`` launched.
    """

    def __init__(self, device: str) -> None:
        from accelerate import PartialState

        state = PartialState(cpu=not device.startswith("cuda"), timeout=TIMEOUT)
        # A group that still exists when the interpreter exits can abort the process, since its threads are not joined.
        atexit.register(state.destroy_process_group)
        self.rank, self.count = state.process_index, state.num_processes
        if self.count != launched():
            raise RunFailed(f"torchrun started {launched()} processes, but {self.count} joined the process group")

    def together(self, message: Any, work: Callable[[], Result]) -> list[Any]:
        """Send a message to the helpers, do ``work`` in this process, and gather the results of all, by rank.

        Raises whatever ``work`` raises, and RunFailed for an error in another process.
        """
        _send(message)
        error: Exception | None = None
        result: Any = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        results = _gather(result)
        if error is not None:
            raise error
        for other in results:
            if isinstance(other, Failed):
                raise RunFailed(f"process {other.rank} of {self.count} failed: {other.reason}")
        return results

    def help(self, handlers: dict[str, Callable[[Any], Any]]) -> None:
        """Handle messages, each a pair (name of the handler, its argument), until the first process stops."""
        while (message := _receive()) != STOP:
            name, argument = message
            result: Any
            try:
                result = handlers[name](argument)
            except Exception as error:
                result = Failed(self.rank, one_line(error))
            _gather(result)

    @contextmanager
    def leading(self) -> Iterator[Processes]:
        """The helpers wait for messages until the end of the block, or an error in it; then they stop.

        After Ctrl-C they are not stopped: they are busy, and ``torchrun`` ends them.
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


def _gather(result: Any) -> list[Any]:
    from accelerate.utils import gather_object

    results: list[Any] = gather_object([result])
    return results
