"""Commands of ``gpttasks`` in forks of one warm process, watched, limited in time, and killed at a chosen file event.

A fork of a process that has imported everything starts in hundredths of a second. Needs a POSIX system.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVIL = "module_of_a_stranger"
"""A module that hostile files name; nothing may try to import it."""
LIMIT = 20.0  # seconds that a command may take
STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.startfile", "subprocess.Popen", "pickle.find_class"}
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime"}
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
    """Import all that commands import, by running some of them. Sets up an environment without network and threads."""
    os.environ.update(
        HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", GPTTASKS_CACHE="off"
    )
    import torch

    from gpttasks.cli import main

    torch.set_num_threads(1)
    run, rows = work / "warm", work / "warm.csv"
    rows.write_text("text\nA good film\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as messages:
        for arguments in (
            ["run", "quickstart", "train.limit=8", "train.epochs=1", "score.limit=4", "--out", str(run), "--force"],
            ["check", "quickstart", "--data"],
            ["predict", str(run), "--input", str(rows), "--output", str(work / "warm.jsonl"), "--force"],
        ):
            if main(arguments):
                raise RuntimeError(f"gpttasks {' '.join(arguments)}: {messages.getvalue()}")


def command(
    *arguments: object,
    folder: Path,
    kill_at: int | None = None,
    kill_after: float | None = None,
    limit: float = LIMIT,
    environment: dict[str, str] | None = None,
) -> Result:
    """Carry out ``gpttasks ARGUMENTS`` in a fork that works in ``folder``, and watch the files there.

    ``kill_at`` kills it before the file event of that number, ``kill_after`` after that many seconds.
    """
    streams = [folder.parent / f"{folder.name}.{stream}" for stream in ("stdout", "stderr", "executed")]
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _carry_out([str(argument) for argument in arguments], folder, kill_at, streams, environment or {})
    if kill_after is None:
        status = _wait(child, limit)
    else:
        status = _wait(child, kill_after)
    seconds = time.monotonic() - start if kill_after is None else 0.0
    printed, messages, executed = (file.read_text("utf-8", "replace") if file.exists() else "" for file in streams)
    for file in streams:
        file.unlink(missing_ok=True)
    return Result(status, seconds, printed, messages, tuple(executed.splitlines()))


def count_events(*arguments: object, folder: Path) -> list[str]:
    """The file events of a command in ``folder``, in their order. Raises RuntimeError if the command fails."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.chdir(folder)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            status = _main([str(argument) for argument in arguments], folder, None)
        with open(write, "w") as out:
            out.write("\n".join(watch.events))
            out.flush()
        os._exit(status)
    os.close(write)
    with open(read) as answer:
        events = answer.read().splitlines()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise RuntimeError(f"gpttasks {' '.join(map(str, arguments))} failed before anything was attacked")
    return events


def here(function: Callable[[], int], folder: Path) -> Result:
    """Call a function of this process that prints and returns a status, as if it were a command."""
    out, messages = io.StringIO(), io.StringIO()
    start = time.monotonic()
    watch.begin(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(messages):
            status = function()
    finally:
        executed = tuple(watch.executed)
        watch.begin()
    return Result(status, time.monotonic() - start, out.getvalue(), messages.getvalue(), executed)


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in that folder for a while."""
    with contextlib.chdir(folder):
        yield


def _carry_out(
    arguments: list[str], folder: Path, kill_at: int | None, streams: Sequence[Path], environment: dict[str, str]
) -> None:
    """The child's part of ``command``; does not return."""
    status = 70
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: die with the worker that started this
        for number, file in enumerate(streams[:2], start=1):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        os.environ.update(environment)
        os.chdir(folder)
        status = _main(arguments, folder, kill_at)
        if watch.executed:
            streams[2].write_text("\n".join(watch.executed))
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _main(arguments: list[str], folder: Path, kill_at: int | None) -> int:
    from gpttasks.cli import main

    watch.begin(folder, kill_at)
    try:
        return main(arguments)
    finally:
        watch.folder = None


def _wait(child: int, seconds: float) -> int:
    """The exit status of a child, which is killed after that time; negative for a signal."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.002)
