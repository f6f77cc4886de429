"""Commands of ``gpttasks`` in forks of one warm process, watched, limited in time, and killed at a chosen file event.

A fork of a process that has imported everything starts in hundredths of a second. Needs a POSIX system.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
from forked import LIMIT

EVIL = "module_of_a_stranger"
"""A module that hostile files name; nothing may try to import it."""
LONG = 300.0  # seconds that a command may take to which nothing is done
STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.startfile", "subprocess.Popen", "pickle.find_class"}
WRITES = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.utime",
}
OPENED_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Result:
    """What a command did: its exit status (negative: the signal that ended it), seconds, and what it printed."""

    status: int
    seconds: float
    printed: str
    messages: str
    executed: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """What no input may cause, whatever it is; None if nothing of the kind happened."""
        if self.executed:
            return f"executed: {self.executed[0]}"
        if self.seconds > LIMIT:
            return f"slow: over {LIMIT:.0f} s"
        if "Traceback (most recent call last)" in self.messages or "internal error" in self.messages:
            return f"traceback: {self.last_line}"
        if self.status not in (0, 1, 2):
            return f"crash: exit status {self.status}: {self.last_line}"
        if self.status and not self.messages.strip():
            return f"silent: exit status {self.status} without a message"
        return None

    @property
    def last_line(self) -> str:
        """The last message, at most 200 characters."""
        return (self.messages.strip().splitlines() or [""])[-1][:200]

    @property
    def warnings(self) -> frozenset[str]:
        """The messages that report something unusual."""
        return frozenset(line for line in self.messages.splitlines() if "warning:" in line)


class Watch:
    """What this process does to files in a folder, and which foreign code it runs, as Python's audit events show it."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.events: list[str] = []
        self.kill_at: int | None = None
        self.executed: list[str] = []
        self._busy = False
        sys.addaudithook(self._notice)

    def begin(self, folder: Path | None = None, kill_at: int | None = None) -> None:
        """Forget what was seen. Kill this process before the file event of that number in the folder."""
        self.folder, self.kill_at = None if folder is None else str(folder), kill_at
        self.events, self.executed = [], []

    def _notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or self._busy:
            return
        self._busy = True
        try:
            if event in STARTS:
                self.executed.append(f"{event} {arguments[0]!s:.80}")
            elif event == "import" and str(arguments[0]).startswith(EVIL):
                self.executed.append(f"import of {arguments[0]}")
            elif event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(self.folder):
                self.executed.append(f"code of {arguments[0].co_filename}")
            elif event in WRITES or (event == "open" and (arguments[2] or 0) & OPENED_TO_WRITE):
                self._file_event(event, [str(part) for part in arguments[:2] if isinstance(part, str | os.PathLike)])
        finally:
            self._busy = False

    def _file_event(self, event: str, paths: Sequence[str]) -> None:
        if not any(os.path.abspath(path).startswith(self.folder or "") for path in paths):
            return
        if self.kill_at == len(self.events):
            os.kill(os.getpid(), signal.SIGKILL)
        self.events.append(f"{event} {os.path.basename(paths[-1])}")


watch = Watch()


def warm_up(work: Path) -> None:
    """Import all that commands import; see :mod:`forked`."""
    platform.processor()  # starts a program, once
    (work / "warm.csv").write_text("text\nA good film\n")
    for arguments in (
        ("run", "quickstart", "train.limit=8", "train.epochs=1", "score.limit=4", "--out", "warm", "--force"),
        ("check", "quickstart", "--data"),
        ("predict", "warm", "--input", "warm.csv", "--output", "warm.jsonl", "--force"),
    ):
        _check(command(*arguments, folder=work, limit=LONG, modules=work / "modules.txt"), arguments)
        forked.import_modules(work / "modules.txt")


def command(
    *arguments: object,
    folder: Path,
    kill_at: int | None = None,
    kill_after: float | None = None,
    limit: float = LIMIT,
    modules: Path | None = None,
    events: Path | None = None,
) -> Result:
    """Carry out ``gpttasks ARGUMENTS`` in a fork that works in ``folder``, and watch the files there.

    kill_at, kill_after:
        kill it before the file event of that number, or after that many seconds.
    modules, events:
        the files for the names of the modules that it has imported, and for the file events.
    """
    out, err, executed = (folder.parent / f"{folder.name}.{name}" for name in ("stdout", "stderr", "executed"))

    def work() -> int:
        from gpttasks.cli import main

        os.chdir(folder)
        watch.begin(folder, kill_at)
        try:
            return main([str(argument) for argument in arguments])
        finally:
            watch.folder = None
            executed.write_text("\n".join(watch.executed))
            if modules is not None:
                forked.write_modules(modules, folder)
            if events is not None:
                events.write_text("\n".join(watch.events))

    start = time.monotonic()
    status = forked.wait(forked.fork(work, out, err), limit if kill_after is None else kill_after)
    seconds = time.monotonic() - start if kill_after is None else 0.0
    printed, messages, foreign = forked.texts((out, err, executed))
    for file in (out, err, executed):
        file.unlink(missing_ok=True)
    ended = -signal.SIGKILL if status is None else status
    return Result(ended, seconds, printed, messages, tuple(foreign.splitlines()))


def count_events(*arguments: object, folder: Path) -> list[str]:
    """The file events of a command in ``folder``, in their order. Raises RuntimeError if the command fails."""
    file = folder.parent / f"{folder.name}.events"
    _check(command(*arguments, folder=folder, limit=LONG, events=file), arguments)
    return file.read_text("utf-8").splitlines()


def _check(result: Result, arguments: Sequence[object]) -> None:
    if result.status:
        told = f"gpttasks {' '.join(map(str, arguments))} failed before anything was attacked"
        raise RuntimeError(f"{told}: {result.messages}")


def here(function: Callable[[], int], folder: Path) -> Result:
    """Call a function of this process that prints and returns a status, in that folder, as if it were a command."""
    out, messages = io.StringIO(), io.StringIO()
    start, before = time.monotonic(), os.getcwd()
    os.chdir(folder)
    watch.begin(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(messages):
            status = function()
    finally:
        executed = tuple(watch.executed)
        watch.begin()
        os.chdir(before)
    return Result(status, time.monotonic() - start, out.getvalue(), messages.getvalue(), executed)
