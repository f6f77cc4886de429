"""Commands of gpttasks in forked children of one process that has imported everything."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 20.0


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
        own = (str(live), "None")  # the plugin of this folder, and what has no file
        names = [
            name for name, module in sys.modules.items() if not str(getattr(module, "__file__", None)).startswith(own)
        ]
        modules.write_text(json.dumps(names), "utf-8")
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
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        status = 70
        try:
            os.setsid()
            for number, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            if user:
                _give_up_privileges()
            status = child(arguments, live, kill, modules, cache)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status_word: int | None = None
    while time.monotonic() - started < limit:
        done, status_word = os.waitpid(process, os.WNOHANG)
        if done:
            break
        status_word = None
        if kill is not None and not kill.times and _has_replies(live / kill.name):
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.005)
    if status_word is None:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
    ended = None if status_word is None else os.waitstatus_to_exitcode(status_word)
    texts = [file.read_text("utf-8", "replace") for file in (out, err)]
    return Ended(ended, texts[0], texts[1], time.monotonic() - started)


def warm(names: Sequence[str]) -> None:
    """Import what a command imported before, so that no child has to."""
    for name in names:
        with contextlib.suppress(Exception):  # a module that was made at run time, or that cannot be imported alone
            importlib.import_module(name)
