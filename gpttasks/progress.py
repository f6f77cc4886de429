"""The progress of a long job, as people read it: how much is done, how fast, and the time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

from .generation_time import GenerationTime
from .terminal import plain, unwrapped

SECONDS_BETWEEN_LINES = 15.0
"""The interval at which progress is printed as a line, if there is no terminal for a bar."""


class Progress:
    """A bar on a terminal, or a line every 15 seconds; with tokens per second (without padding) and the time left.

    Use it as a context manager and call ``advance(done, tokens)``; ``note`` adds a text such as the loss.

    total_tokens:
        the number of tokens that all units have, if that is known: the time left is then that of the remaining tokens,
        since units may be as different as a word and a book.
    generation:
        for units that are texts to generate: how many tokens and how much time they will take.
    total:
        the number of units; None if it is not known, which needs ``total_tokens`` and ``generation`` to be None.
    shown:
        whether anything is printed.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        stream: TextIO | None = None,
        total_tokens: int | None = None,
        generation: GenerationTime | None = None,
        *,
        shown: bool = True,
    ) -> None:
        self.shown = shown
        self.what, self.total, self.unit = what, total, unit
        self.total_tokens, self.generation = total_tokens, generation
        self.stream = stream or sys.stderr
        self.done = 0
        self.tokens = 0
        self._done_before = 0
        self._free = 0
        self._note = ""
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._start = self._last_line = self._first_token = time.monotonic()
        if self.shown and self.stream.isatty():
            self._bar = _terminal_bar(self.stream)
            total = self.total_tokens or (round(self.tokens_left or 0) if self.generation else self.total)
            self._task = self._bar.add_task(plain(self.what), total=total, note="", left="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self.shown:
            print(plain(self.line()), file=self.stream, flush=True)

    def __call__(self, done: int, tokens: int = 0) -> None:
        """The same as ``advance``, so that an engine can take the progress itself."""
        self.advance(done, tokens)

    def prompts_read(self, tokens: int) -> None:
        """See :class:`gpttasks.requests.WatchesPrompts`."""
        if self.generation is not None:
            self.generation.prompts_read(tokens)

    def advance(self, done: int, tokens: int = 0) -> None:
        """Add ``done`` finished units, with ``tokens`` tokens without padding."""
        if self.generation is not None:
            self.generation.count(done, tokens)
        if not tokens and not self.tokens:
            self._first_token = time.monotonic()  # what came before, such as encoding texts, is not work of this kind
        self.done += done
        self.tokens += tokens
        self._free += 0 if tokens else done
        if self._bar is not None:
            remaining, seconds = self.tokens_left, self.seconds_left
            shown = {"note": plain(self._speed()), "left": "" if seconds is None else f"{duration(seconds)} left"}
            if remaining is None:
                self._bar.update(self._task, completed=self.done, **shown)
            else:
                self._bar.update(self._task, completed=self.tokens, total=self.tokens + remaining, **shown)
        elif self.shown and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(plain(self.line()), file=self.stream, flush=True)

    def resume(self, done: int) -> None:
        """Add ``done`` units that an earlier process finished; they do not count for the speed."""
        self._done_before = done
        self.advance(done)

    def note(self, text: str) -> None:
        """Show a text beside the speed until the next note."""
        self._note = text

    @property
    def tokens_left(self) -> int | None:
        """The number of tokens that remain, if the total is known; units without tokens, as from a cache, had none."""
        if self.total_tokens is None and self.generation is None:
            return None
        total = self.total or 0
        if self.done >= total:
            return 0
        if self.generation is not None:
            return max(1, round(self.generation.tokens_left))
        return max(1, round((self.total_tokens or 0) * (1 - self._free / total)) - self.tokens)

    @property
    def seconds_left(self) -> float | None:
        """The seconds that remain at the speed so far; None as long as that is not known."""
        if self.generation is not None:
            return self.generation.seconds_left
        left = self.tokens_left
        if left is not None:
            return (time.monotonic() - self._first_token) / self.tokens * left if self.tokens else None
        here = self.done - self._done_before
        return self.seconds / here * (self.total - self.done) if here and self.total is not None else None

    @property
    def seconds(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._start

    def line(self) -> str:
        """The progress as one line of text."""
        left, of_tokens = self.tokens_left, ""
        if left is not None:
            of_tokens = f", {self.tokens:,} of {self.tokens + left:,} tokens"
        if self.total is not None and self.done >= self.total:
            ending = f"took {duration(self.seconds)}"
        elif self.seconds_left is not None:
            ending = f"{duration(self.seconds_left)} left"
        else:
            ending = f"{duration(self.seconds)} so far"
        of = "" if self.total is None else f"/{self.total:,}"
        return f"{self.what}: {self.done:,}{of} {self.unit}{of_tokens}, {self._speed()}, {ending}"

    def _speed(self) -> str:
        speed = f"{self.tokens / max(self.seconds, 1e-9):,.0f} tokens/s"
        return f"{speed}, {self._note}" if self._note else speed


def _terminal_bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(file=unwrapped(stream)),
    )


def duration(seconds: float) -> str:
    """A time in words: ``3 h 05 min``, ``2 min 07 s``, ``41 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
