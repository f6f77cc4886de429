"""Rows that arrive while earlier ones are worked on, such as those of a pipe."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, TypeAlias

from typing_extensions import Self

from .readers import read_stream
from .rows import Row

_MOST_WAITING = 4096
"""The number of rows that are read ahead."""
_GRACE = 0.005
"""The seconds within which rows that are written together arrive."""
_WAKE_UP = 0.5
"""The interval in seconds at which a wait ends, since Ctrl-C does not interrupt a wait on Windows."""

_Arrived: TypeAlias = "Row | BaseException | None"


class ArrivingRows(Iterator[Row]):
    """Reads rows in a thread, up to some thousands ahead, so that :meth:`ready` knows whether the next one is there.

    What stops the reading is raised after the rows before it.
    """

    def __init__(self, rows: Callable[[], Iterable[Row]]) -> None:
        """``rows`` is called in the thread."""
        self._rows = rows
        self._queue: queue.Queue[_Arrived] = queue.Queue(_MOST_WAITING)
        self._next: list[_Arrived] = []
        # A daemon: a process that stops after an error must not wait for the writer of the pipe.
        threading.Thread(target=self._read, name="gpttasks-rows", daemon=True).start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Row:
        arrived = self._next.pop() if self._next else self._wait()
        if isinstance(arrived, Row):
            return arrived
        self._next.append(None)  # the end stays the end
        if arrived is None:
            raise StopIteration
        raise arrived

    def ready(self) -> bool:
        """Whether the next row, or the end, is there or about to arrive."""
        if not self._next:
            with suppress(queue.Empty):
                self._next.append(self._queue.get(timeout=_GRACE))
        return bool(self._next)

    def _wait(self) -> _Arrived:
        while True:
            with suppress(queue.Empty):
                return self._queue.get(timeout=_WAKE_UP)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for row in self._rows():
                self._queue.put(row)
        except BaseException as error:  # it is raised where the rows are used
            end = error
        self._queue.put(end)


def arriving_rows(stream: BinaryIO, name: str) -> ArrivingRows:
    """The rows of a stream of JSON Lines as they arrive; messages call the stream ``name``."""
    return ArrivingRows(lambda: read_stream(_own_stream(stream), name))


def _own_stream(stream: BinaryIO) -> BinaryIO:
    """The same file with a buffer for the thread only.

    Python closes ``sys.stdin`` when it exits, which fails while a thread waits in its buffer.
    """
    try:
        return open(stream.fileno(), "rb", closefd=False)
    except OSError:  # a stream without a file
        return stream
