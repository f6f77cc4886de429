"""Commands in forks of one process that has imported everything, which start in hundredths of a second.

Nothing is computed in the process that is forked: the threads of its libraries would not be in a fork. Needs a POSIX
system. Import this module before torch: it sets up an environment without network and with one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

LIMIT = 20.0
"""The seconds that a command may take."""


# At import, not in a function: torch reads these when it is imported.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    GPTTASKS_CACHE="off",
)
os.environ.pop("GPTTASKS_PLUGINS", None)


def write_modules(file: Path, folder: Path) -> None:
    """Write the names of the modules that this process has imported, but for those of the folder."""
    own = (str(folder), "None")  # also what has no file
    names = [name for name, module in sys.modules.items() if not str(getattr(module, "__file__", None)).startswith(own)]
    file.write_text("\n".join(names), "utf-8")


def import_modules(file: Path) -> None:
    """Import what a command imported before, so that no fork has to."""
    for name in file.read_text("utf-8").splitlines():
        with contextlib.suppress(Exception):  # a module that was made at run time, or that cannot be imported alone
            importlib.import_module(name)


def fork(work: Callable[[], int], out: Path, err: Path) -> int:
    """Start a fork that does the work, with its output in two files, and exits with what ``work`` returns.

    It is the first of its process group, and dies with this process. Returns its process id.
    """
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        for number, file in ((1, out), (2, err)):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, number)
            os.close(opened)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def wait(process: int, seconds: float, look: Callable[[], None] | None = None) -> int | None:
    """The exit status of a fork, negative for a signal; None if it was killed after that time.

    ``look`` is called every few milliseconds.
    """
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        if look is not None:
            look()
        time.sleep(0.003)


def texts(files: Iterable[Path]) -> list[str]:
    """What the files hold; nothing for one that does not exist."""
    return [file.read_text("utf-8", "replace") if file.exists() else "" for file in files]
