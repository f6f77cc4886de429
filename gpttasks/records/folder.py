"""The run folder: plain files, written under another name and renamed, locked while a process works in it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LONGEST_CAUSE, FolderError, RunFailed, full_disk
from ..files import is_unfinished, write_text
from ..terminal import say
from ..trust import is_run_folder
from .events import EVENTS, LogLines, read_events, read_log
from .moving import check_movable, move_aside, refuse_links
from .run import RECORD, SAMPLES, Run, RunRecord, read_run

if TYPE_CHECKING:
    from ..recipe.schema import Recipe

RECIPE, REPORT = "recipe.yaml", "report.html"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
DATA_DIGESTS = "data.json"
"""In unfinished runs of earlier versions, the digests of the data; removed at the end."""
REPLIES = "replies.sqlite"
"""The replies of a backbone that is its own engine to an unfinished run; removed at the end."""
ADAPTER, MODEL, HEAD = "adapter", "model", "head"
HEAD_WEIGHTS = f"{HEAD}/modules.safetensors"
ENCODER_WEIGHTS = f"{HEAD}/encoder.safetensors"
HEAD_TUNED = f"{HEAD}/tuned.json"
_FILES = (LOCK, RECIPE, RECORD, EVENTS, DATA_DIGESTS, REPLIES, SAMPLES, REPORT)
_FOLDERS = (CHECKPOINTS, ADAPTER, MODEL, HEAD)
NOTHING_DONE = frozenset({LOCK, RECIPE, RECORD, DATA_DIGESTS, REPLIES, f"{REPLIES}-wal", f"{REPLIES}-shm"})
"""The files of a run that stopped before anything was trained or scored, for example because of wrong input: the
corrected recipe may use its folder."""


class RunFolder:
    """A run folder that this process may write to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _identity(path)
        self._log_lines = LogLines("")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def is_present(self) -> bool:
        """Whether the folder is still the one that was opened: not removed, renamed or replaced meanwhile."""
        return _identity(self.path) == self._identity

    def write_text(self, name: str, text: str) -> None:
        """Write a file atomically. Raises RunFailed if the folder has been removed."""
        self._check_present()
        write_text(self.path / name, text)

    def write_record(self, record: RunRecord) -> None:
        """Write ``run.json``. Raises ValueError for NaN or infinity, which JSON does not have."""
        self.write_text(RECORD, record.text())

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a line to the training log."""
        self._check_present()
        with open(self.path / EVENTS, "a", encoding="utf-8", newline="\n") as file:
            file.write(self._log_lines.line(event))

    def events(self) -> list[dict[str, Any]]:
        """The training log so far, without lines that cannot be read."""
        return read_events(self.path)

    def keep_events_until(self, step: int) -> str | None:
        """Begin the log, or drop what was logged after ``step``: a resumed training does these steps again.

        Returns a warning if lines of the log cannot be read, were changed or are missing; these steps are lost.
        """
        run_id = read_run(self.path).record.id
        log, self._log_lines = read_log(self.path, run_id), LogLines(run_id)
        kept = [event for event in log.events if event["step"] <= step]
        self.write_text(EVENTS, "".join(map(self._log_lines.line, kept)))
        if not step:
            return None
        if not log.events and not log.damaged:
            return f"{EVENTS} is missing or empty: the report lacks the steps until {step:,}"
        last = max((event["step"] for event in kept), default=0)
        lacking = f"{EVENTS} ends before the checkpoint: the report lacks the steps after {last:,} until {step:,}"
        return log.warning() or (lacking if last < step else None)

    def _check_present(self) -> None:
        if not self.is_present():
            raise folder_gone(self.path)


def folder_gone(path: Path) -> RunFailed:
    """The error for a run folder that disappeared while the run worked in it."""
    message = f"the run folder {path} was removed or renamed while the run worked in it"
    return RunFailed(message, hint="leave it in its place while the run works; run the same command again")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from one that has taken its name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def default_folder(recipe: Recipe) -> Path:
    """``runs/NAME-DIGEST`` under the working directory."""
    from ..recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


@contextmanager
def open_folder(path: Path, digest: str, *, force: bool) -> Iterator[tuple[RunFolder, Run | None]]:
    """The folder for a run with this recipe digest, locked, and the run that it already holds, if any.

    With ``force`` a folder that holds a run is moved aside, to the same name with a number. Raises FolderError if
    another process works in the folder, if it holds another recipe's run or files that are not a run's, or if a
    symbolic link in it leads elsewhere: nothing is written through one.
    """
    _check_name(path)
    if force and path.is_dir() and _names(path) - {LOCK}:
        check_movable(path)
        with _locked(path):
            move_aside(path)
    if path.exists() and not path.is_dir():
        raise FolderError(f"{path} is a file", hint="give a folder with --out")
    if path.is_dir() and not os.access(path, os.W_OK):
        yield RunFolder(path), _read_only(path, digest)
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if full := full_disk(error):
            raise full from error
        name = str(path) if len(str(path)) <= LONGEST_CAUSE else f"{str(path)[:LONGEST_CAUSE]}…"
        message = f"the folder {name} cannot be created: {error.strerror}"
        raise FolderError(message, hint="give another one with --out") from error
    _check_kinds(path)
    with _locked(path):
        yield RunFolder(path), _existing(path, digest)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if not path.is_dir():
        raise FolderError(f"{path} is a file", hint="give a folder with --out")
    refuse_links(path, [LOCK])
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderError(
            f"another process works in {path}", hint="wait for it, or give another folder with --out"
        ) from None
    except OSError as error:
        raise full_disk(error) or FolderError(
            f"{path / LOCK} cannot be locked: {error.strerror or error}", hint="give another folder with --out"
        ) from error
    try:
        yield
    finally:
        (path / LOCK).unlink(missing_ok=True)  # before the release, so that another process's new lock is not removed
        lock.release()


def nothing_done(path: Path) -> bool:
    """Whether a run stopped before anything was trained or scored, so that nothing depends on its inputs yet."""
    return _names(path) <= NOTHING_DONE and not _has_replies(path / REPLIES)


def _has_replies(file: Path) -> bool:
    """Whether a file of replies has any; a damaged one may have had some."""
    if not file.is_file() or not file.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM replies LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return True


def _check_name(path: Path) -> None:
    """Raise FolderError for a name that no file of the run could hold, or that cannot be looked up."""
    try:
        str(path).encode("utf-8")
        path.exists()
    except UnicodeEncodeError:
        raise FolderError(f"the name {path} is not UTF-8", hint="give another one with --out") from None
    except OSError as error:
        name = str(path) if len(str(path)) <= LONGEST_CAUSE else f"{str(path)[:LONGEST_CAUSE]}…"
        raise FolderError(f"the folder {name}: {error.strerror}", hint="give another one with --out") from error


def _read_only(path: Path, digest: str) -> Run:
    """The finished run in a folder that this process cannot write to. Raises FolderError for anything else."""
    run = _existing(path, digest) if (path / RECORD).exists() else None
    if run is None or run.state != "finished":
        raise FolderError(f"{path} cannot be written to, and holds no finished run", hint="give a folder with --out")
    return run


def _check_kinds(path: Path) -> None:
    """Raise FolderError for a folder with the name of a run's file, and the reverse: the run could not write it.

    The same for what lies in the run's folders and is neither, such as a pipe: reading it would never end.
    """
    wanted = dict.fromkeys(_FILES, "file") | dict.fromkeys(_FOLDERS, "folder")
    for folder in _FOLDERS:
        try:
            within = list((path / folder).iterdir()) if (path / folder).is_dir() else []
        except OSError as error:
            message = f"{path / folder} cannot be read: {error.strerror or error}"
            raise FolderError(message, hint="make it readable, or give another folder with --out") from error
        wanted |= {f"{folder}/{entry.name}": "file or folder" for entry in within}
    wanted |= {f"{CHECKPOINTS}/{name}": "file" for name in ("previous.safetensors", "best.safetensors")}
    for name, kind in wanted.items():
        try:
            mode = (path / name).lstat().st_mode
        except OSError:
            continue
        found = "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else None
        if not stat.S_ISLNK(mode) and found not in kind.split(" or "):
            raise FolderError(f"{path / name} is not a {kind}", hint="remove it, or give another folder with --out")


def _existing(path: Path, digest: str) -> Run | None:
    names = _names(path)
    if names <= {LOCK}:
        return None
    if not (path / RECORD).exists():
        if is_run_folder(path):
            message = f"{path} holds files of a run, but its {RECORD} is missing"
            raise FolderError(message, hint=f"restore {RECORD} to go on with the run, or repeat the run with --force")
        raise FolderError(f"{path} has files, but is not a run folder", hint="give an empty or a new folder with --out")
    run = read_run(path)
    if run.state != "finished":
        refuse_links(path, names)
    if run.record.digest != digest and run.state != "finished" and names <= NOTHING_DONE:
        say(f"{path} held a run of another recipe that had not started its work; this run replaces it")
        for name in names - {LOCK}:
            (path / name).unlink()
        return None
    if run.record.digest != digest:
        raise FolderError(
            f"{path} holds a run of another recipe: digest {run.record.digest[:12]}, this recipe's is {digest[:12]}",
            hint="give another folder with --out, or move the old one aside with --force",
        )
    return run


def _names(path: Path) -> set[str]:
    """The names in a folder, without what a killed process left half-written."""
    return {entry.name for entry in path.iterdir() if not is_unfinished(Path(entry.name))}
