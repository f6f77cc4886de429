"""Commands of gpttasks in forked children of one process that has imported everything."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import forked
from forked import LIMIT


class Ended(NamedTuple):
    """How a command ended: its exit status (None after the time limit, negative after a signal) and what it printed."""

    status: int | None
    stdout: str
    stderr: str
    seconds: float


class KillAt(NamedTuple):
    """Kill the command (SIGKILL) when it has renamed a file to this name so many times; 0: when it has kept replies."""

    name: str
    times: int


def child(arguments: Sequence[str], live: Path, kill: KillAt | None, modules: Path | None, cache: bool) -> int:
    """Carry out a command in the folder. The caller has forked."""
    os.chdir(live)
    sys.path.insert(0, str(live / "plug"))
    environment = {"GPTTASKS_CACHE": str(live / "replies") if cache else "off", "XDG_CACHE_HOME": str(live / "cache")}
    os.environ.update(environment, HF_HOME=str(live / "huggingface"), HF_DATASETS_CACHE=str(live / "datasets"))
    os.environ.update(HF_MODULES_CACHE=str(live / "modules"), COLUMNS="300")
    if kill is not None and kill.times:
        _kill_at(kill)
    from gpttasks.cli import main

    status = main(list(arguments))
    if modules is not None:
        forked.write_modules(modules, live)
    return status


def _kill_at(kill: KillAt) -> None:
    seen = 0

    def hooked(real: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **more: Any) -> None:
            nonlocal seen
            real(source, target, **more)
            seen += Path(os.fsdecode(target)).name == kill.name
            if seen == kill.times:
                os.kill(os.getpid(), signal.SIGKILL)

        return renamed

    os.replace, os.rename = hooked(os.replace), hooked(os.rename)


def _has_replies(file: Path) -> bool:
    """Whether the database of replies has one that is committed."""
    if not file.exists():
        return False
    with (
        contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database,
        contextlib.suppress(sqlite3.Error),
    ):
        return bool(database.execute("select count(*) from replies").fetchone()[0])
    return False


def _give_up_privileges() -> None:
    """Let permissions bind this process if it is root's: without capabilities, root is a user like any other."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        none = (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise OSError(ctypes.get_errno(), "capset")


def carry_out(
    arguments: Sequence[str],
    live: Path,
    *,
    kill: KillAt | None = None,
    modules: Path | None = None,
    limit: float = LIMIT,
    cache: bool = False,
    user: bool = False,
) -> Ended:
    """Fork, carry out a command in the folder, and wait for it, at most so many seconds."""
    logs = live.parent / "logs"
    logs.mkdir(exist_ok=True)
    out, err = logs / "stdout", logs / "stderr"

    def work() -> int:
        if user:
            _give_up_privileges()
        return child(arguments, live, kill, modules, cache)

    def kill_when_replies_are_kept() -> None:
        if kill is not None and not kill.times and _has_replies(live / kill.name):
            os.killpg(process, signal.SIGKILL)

    started = time.monotonic()
    process = forked.fork(work, out, err)
    status = forked.wait(process, limit, kill_when_replies_are_kept)
    seconds = time.monotonic() - started
    printed, messages = forked.texts((out, err))
    return Ended(status, printed, messages, seconds)
