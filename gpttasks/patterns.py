"""Regular expressions of recipes: errors in them, and a limit on the time of a search.

A pattern such as ``(a+)+$`` takes time that doubles with each character of some texts.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Problem, UserError

SECONDS = 10.0
"""The processor time that a search in one text may take."""
_SHOWN = 60
"""The number of characters of a text in a message."""


class _TooSlow(Exception):
    pass


def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern. Raises ValueError for anything that is not a regular expression of Python's ``re``."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        shown = pattern if len(pattern) <= _SHOWN else pattern[: _SHOWN - 1] + "…"
        raise ValueError(f"{shown!r} is not a regular expression: {error}") from None


@contextmanager
def bounded_search(pattern: str, text: str, key: str) -> Iterator[None]:
    """Raises UserError, with the pattern, its key and the beginning of the text, if a search with ``re`` is too slow.

    ``re`` looks for signals while it searches, and so can be interrupted by a timer. Windows has no such timer, and
    only the main thread receives signals: elsewhere the time is not limited.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.thread_time()

    def interrupt(number: int, frame: FrameType | None) -> None:
        left = SECONDS - (time.thread_time() - began)
        if left <= 0:
            raise _TooSlow
        signal.setitimer(signal.ITIMER_VIRTUAL, left)  # the timer counts the time of all threads

    before = signal.signal(signal.SIGVTALRM, interrupt)
    outer, interval = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TooSlow:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        message = f"the regular expression {pattern!r} took more than {SECONDS:g} s for the text {shown!r}"
        hint = "do not repeat what is itself repeated: a+ instead of (a+)+"
        raise UserError(Problem(message, key=key, hint=hint)) from None
    finally:
        signal.signal(signal.SIGVTALRM, before if before is not None else signal.SIG_DFL)
        left = outer - (time.thread_time() - began)
        if outer:  # of a profiler, or of a search around this one, which goes on
            signal.setitimer(signal.ITIMER_VIRTUAL, left if left > 0 else interval, interval)
    if outer and left <= 0:
        signal.raise_signal(signal.SIGVTALRM)  # it would have gone off
