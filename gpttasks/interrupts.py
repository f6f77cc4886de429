"""Ctrl-C: noticed at every moment, even where a library takes it for an error of its own."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_pressed = threading.Event()


@contextmanager
def watched() -> Iterator[None]:
    """Remember that Ctrl-C was pressed in this block, beside raising KeyboardInterrupt.

    An import, or the loading of a model, may turn the exception into another one, which :func:`pressed` explains.
    A callback may lose it: it is then raised again outside the callback.
    """
    _pressed.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # signals can only be taken in the main thread
        return
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if handler is signal.SIG_IGN or handler is None:  # as of a process in the background
        yield
        return
    signal.signal(signal.SIGINT, _note)
    sys.unraisablehook = _raise_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, handler)


def pressed() -> bool:
    """Whether Ctrl-C was pressed since the block of :func:`watched` began."""
    return _pressed.is_set()


def raise_if_pressed() -> None:
    """Raise the KeyboardInterrupt that somebody's code has swallowed."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def _note(number: int, frame: Any) -> None:
    _pressed.set()
    raise KeyboardInterrupt


def _raise_again(unraisable: Any) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.01, _thread.interrupt_main)  # when this call is over
        again.daemon = True
        again.start()
    elif not _pressed.is_set():
        sys.__unraisablehook__(unraisable)
