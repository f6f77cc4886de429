"""The run folder: plain files, written under another name and renamed, locked while a process works in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FolderError, full_disk
from ..files import is_unfinished, write_text
from .run import RECORD, Run, RunRecord, read_run

if TYPE_CHECKING:
    from ..recipe.schema import Recipe

RECIPE, EVENTS, REPORT = "recipe.yaml", "events.jsonl", "report.html"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
DATA_DIGESTS = "data.json"
"""The digests of the data that an unfinished run started with; removed at the end, when run.json has them."""
REPLIES = "replies.sqlite"
"""The replies of a backbone that is its own engine to an unfinished run; removed at the end."""
NOTHING_DONE = frozenset({LOCK, RECIPE, RECORD, DATA_DIGESTS, REPLIES, f"{REPLIES}-wal", f"{REPLIES}-shm"})
"""The files of a run that stopped before anything was trained or scored, for example because of wrong input: the
corrected recipe may use its folder."""


class RunFolder:
    """A run folder that this process may write to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_text(self, name: str, text: str) -> None:
        """Write a file atomically."""
        write_text(self.path / name, text)

    def write_record(self, record: RunRecord) -> None:
        """Write ``run.json``. Raises ValueError for NaN or infinity, which JSON does not have."""
        self.write_text(RECORD, record.text())

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a line to the training log."""
        with open(self.path / EVENTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """The training log so far; a last line cut off by a kill is left out."""
        return list(read_events(self.path))

    def keep_events_until(self, step: int) -> None:
        """Drop what was logged after ``step``: a resumed training does these steps again."""
        kept = [event for event in self.events() if event["step"] <= step]
        self.write_text(EVENTS, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))


def default_folder(recipe: Recipe) -> Path:
    """``runs/NAME-DIGEST`` under the working directory."""
    from ..recipe import recipe_digest

    return Path("runs") / f"{recipe.name}-{recipe_digest(recipe)[:12]}"


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's ``events.jsonl``; empty without such a file."""
    file = folder / EVENTS
    if not file.exists():
        return
    for line in file.read_text("utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            return  # the last line, cut off while it was written
        if isinstance(event, dict):
            yield event


@contextmanager
def open_folder(path: Path, digest: str, *, force: bool) -> Iterator[tuple[RunFolder, Run | None]]:
    """The folder for a run with this recipe digest, locked, and the run that it already holds, if any.

    With ``force`` an existing folder is moved aside, to the same name with a number. Raises FolderError if another
    process works in the folder, or if it holds another recipe's run or files that are not a run's.
    """
    if force and path.exists():
        with _locked(path):
            path.rename(_free_name(path))
    if path.exists() and not path.is_dir():
        raise FolderError(f"{path} is a file", hint="give a folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if full := full_disk(error):
            raise full from error
        message = f"the folder {path} cannot be created: {error.strerror}"
        raise FolderError(message, hint="give another one with --out") from error
    with _locked(path):
        yield RunFolder(path), _existing(path, digest)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if not path.is_dir():
        raise FolderError(f"{path} is a file", hint="give a folder with --out")
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderError(
            f"another process works in {path}", hint="wait for it, or give another folder with --out"
        ) from None
    try:
        yield
    finally:
        (path / LOCK).unlink(missing_ok=True)  # before the release, so that another process's new lock is not removed
        lock.release()


def _existing(path: Path, digest: str) -> Run | None:
    names = {entry.name for entry in path.iterdir() if not is_unfinished(Path(entry.name))}
    if names <= {LOCK}:
        return None
    if not (path / RECORD).exists():
        raise FolderError(f"{path} has files, but is not a run folder", hint="give an empty or a new folder with --out")
    run = read_run(path)
    if run.record.digest != digest and run.state != "finished" and names <= NOTHING_DONE:
        print(
            f"{path} held a run of another recipe that had not started its work; this run replaces it", file=sys.stderr
        )
        for name in names - {LOCK}:
            (path / name).unlink()
        return None
    if run.record.digest != digest:
        raise FolderError(
            f"{path} holds a run of another recipe: digest {run.record.digest[:12]}, this recipe's is {digest[:12]}",
            hint="give another folder with --out, or move the old one aside with --force",
        )
    return run


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    return aside


ADAPTER, MODEL, HEAD = "adapter", "model", "head"


HEAD_WEIGHTS = f"{HEAD}/modules.safetensors"


ENCODER_WEIGHTS = f"{HEAD}/encoder.safetensors"


HEAD_TUNED = f"{HEAD}/tuned.json"
