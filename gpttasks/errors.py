"""Every error that gpttasks raises on purpose.

::

    GpttasksError                 exit_status
    ├── UserError                 2   the input is wrong; nothing was lost, nothing was started
    │   ├── RecipeError               a key, a value or a name in a recipe
    │   ├── DataError                 a file, a column or a row
    │   │   └── UnusableRow               one row, to be counted (and left out with data.bad_rows: skip)
    │   ├── BackboneError             a model that cannot be loaded or used as asked
    │   ├── PluginError               a plugin that is broken, clashes or is missing
    │   └── FolderError               a run folder that is locked, foreign or not a run
    ├── RunFailed                 1   the input is right, but the run could not go on (full disk, NaN loss)
    └── Interrupted               130 stopped by the user; the same command resumes
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what was got and what was wanted, where it stands, and what to do about it.

    ``line`` and ``column`` count from 1. ``key`` is the dotted path of a recipe key.
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        head = ": ".join(part for part in (place, self.key, self.message) if part)
        return f"{head}; {self.hint}" if self.hint else head

    def as_dict(self) -> dict[str, Any]:
        """The six fields, None where unknown, as the ``gpttasks.error/1`` document holds them."""
        fields = asdict(self)
        return {name: fields[name] for name in ("file", "line", "column", "key", "message", "hint")}


class GpttasksError(Exception):
    """The base of all; ``problems`` holds at least one entry and ``str()`` gives one line for each."""

    exit_status = 1

    def __init__(self, problems: str | Problem | Iterable[Problem], *, hint: str | None = None) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, hint=hint)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UserError(GpttasksError):
    """The user's input is wrong: shown without a traceback, exit status 2."""

    exit_status = 2


class RecipeError(UserError):
    """A recipe with wrong keys, values or names; carries every problem found, not only the first."""


class DataError(UserError):
    """A data file, column or row that cannot be used."""


class UnusableRow(DataError):
    """A row that a task cannot make an example of, while others may be good: counted, the first one shown."""


class BackboneError(UserError):
    """A model that cannot be loaded, or cannot do what the recipe asks of it."""


class PluginError(UserError):
    """A plugin that is broken, unknown, or clashes with another.

    names_owner:
        Whether the message says whose code failed.
    """

    def __init__(
        self, problems: str | Problem | Iterable[Problem], *, hint: str | None = None, names_owner: bool = False
    ) -> None:
        super().__init__(problems, hint=hint)
        self.names_owner = names_owner


class FolderError(UserError):
    """A run folder that is in use, belongs to another recipe, or is no run folder."""


class RunFailed(GpttasksError):
    """A run that started well and could not go on."""


class Interrupted(GpttasksError):
    """The user stopped the run; what was reached is kept and the same command goes on from there."""

    exit_status = 130


FULL = {errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded", errno.EFBIG: "File too large"}
"""What a system says of a write for which there is no room; libraries pass on the number, or only the text."""


def full_disk(error: BaseException) -> RunFailed | None:
    """The error to raise if ``error`` says that there is no room to write, else None."""
    if getattr(error, "errno", None) not in FULL and not any(text in str(error) for text in FULL.values()):
        return None
    return RunFailed(
        f"the disk is full: {error}", hint="make room and run the same command again; it goes on from there"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``"did you mean 'lora'?"`` if ``name`` is close to one of ``known``, else None."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


LONGEST_CAUSE = 300
"""Characters of a cause; some libraries' errors go on for pages."""


def one_line(error: BaseException) -> str:
    """An error as a cause on one line; the name of its class is left out for an error of ours."""
    if isinstance(error, GpttasksError):
        return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= LONGEST_CAUSE else f"{text[: LONGEST_CAUSE - 1]}…"


TRACEBACK = "GPTTASKS_TRACEBACK"
"""The environment variable that, set to 1, has the traceback of a plugin's error printed."""

FIX_PLUGIN = f"fix the plugin, then run the same command again to go on; {TRACEBACK}=1 shows the traceback"
"""The hint for an error in a plugin's code."""


def show_traceback(error: BaseException) -> None:
    """Print the traceback of a plugin's error on stderr, if the environment variable asks for it."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        print("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr, flush=True)
