"""Every error that gpttasks raises on purpose.

::

    GpttasksError                 exit_status
    ├── UserError                 2   the input is wrong
    │   ├── RecipeError               a key, a value or a name in a recipe
    │   ├── DataError                 a file, a column or a row
    │   │   └── UnusableRow               one row, to be counted (and left out with data.bad_rows: skip)
    │   ├── BackboneError             a model that cannot be loaded, or cannot do what the recipe needs
    │   ├── PluginError               a plugin that is broken, clashes or is missing
    │   └── FolderError               a run folder that is locked, belongs to another recipe, or is not a run folder
    ├── RunFailed                 1   the input is valid, but the run could not continue (full disk, NaN loss)
    └── Interrupted               130 stopped by the user; the same command resumes
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what was got, what was expected, where, and how to correct it.

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
    """The base class; ``problems`` has at least one entry, and ``str()`` returns one line for each."""

    exit_status = 1

    def __init__(self, problems: str | Problem | Iterable[Problem], *, hint: str | None = None) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, hint=hint)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def add(self, text: str) -> None:
        """Add what is known only further up to the message of the first problem."""
        first, *others = self.problems
        self.problems = (replace(first, message=f"{first.message}; {text}"), *others)
        self.args = ("\n".join(str(problem) for problem in self.problems),)


class UserError(GpttasksError):
    """The user's input is wrong: shown without a traceback, exit status 2."""

    exit_status = 2


class RecipeError(UserError):
    """A recipe with wrong keys, values or names; it holds every problem, not only the first."""


class DataError(UserError):
    """A data file, column or row that cannot be used."""


class TooLong(DataError):
    """An example that does not fit the model's context, even without its shots and passages."""


class UnusableRow(DataError):
    """A row that cannot become an example. Such rows are counted, and the first one is reported."""


class BackboneError(UserError):
    """A model that cannot be loaded, or cannot do what the recipe needs."""


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
    """A run folder that is in use, belongs to another recipe, or is not a run folder."""


class RunFailed(GpttasksError):
    """A run that started and could not continue."""


class Interrupted(GpttasksError):
    """The user stopped the run; its progress is kept, and the same command resumes it."""

    exit_status = 130


FULL = {errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded", errno.EFBIG: "File too large"}
"""The operating system's errors for a full disk; libraries pass on the number, or only the text."""


def full_disk(error: BaseException) -> RunFailed | None:
    """The error to raise if ``error`` means that the disk is full, else None."""
    if getattr(error, "errno", None) not in FULL and not any(text in str(error) for text in FULL.values()):
        return None
    return RunFailed(f"the disk is full: {error}", hint="free some space and run the same command again to resume")


def file_error(error: BaseException) -> UserError | None:
    """The error to raise if the operating system refused to open, read or write a file by its name, else None."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is None:
        return None
    names = [
        os.fsdecode(name) if isinstance(name, bytes) else str(name)
        for name in (error.filename, error.filename2)
        if name
    ]
    return UserError(f"{' -> '.join(_shortened(name) for name in names)}: {error.strerror or type(error).__name__}")


def _shortened(name: str) -> str:
    """A name of at most 200 characters, by its beginning and its end."""
    return name if len(name) <= 200 else f"{name[:100]}…{name[-80:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``"did you mean 'lora'?"`` if ``name`` is close to one of ``known``, else None."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def quoted_list(names: Iterable[str]) -> str:
    """``"'train', 'test'"``; ``"none"`` if there are no names."""
    return ", ".join(repr(name) for name in names) or "none"


def comma_separated(names: Iterable[str]) -> str:
    """``"label, prompt"``: the names in sorted order; ``"nothing"`` if there are none."""
    return ", ".join(sorted(names)) or "nothing"


LONGEST_CAUSE = 300
"""The maximum length of a cause in characters; some libraries' errors are pages long."""


def one_line(error: BaseException) -> str:
    """An error as a cause on one line; with the name of its class, unless gpttasks raised it on purpose."""
    if isinstance(error, GpttasksError):
        return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= LONGEST_CAUSE else f"{text[: LONGEST_CAUSE - 1]}…"


TRACEBACK = "GPTTASKS_TRACEBACK"
"""The environment variable that, set to 1, makes gpttasks print the traceback of a plugin's error."""

FIX_PLUGIN = f"fix the plugin, then run the same command again to go on; {TRACEBACK}=1 shows the traceback"
"""The hint for an error in a plugin's code."""


def show_traceback(error: BaseException) -> None:
    """Print the traceback of a plugin's error on stderr, if :data:`TRACEBACK` is set."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        print("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr, flush=True)
