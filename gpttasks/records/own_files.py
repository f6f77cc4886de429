"""Whether the files of a finished run are those that ``run.json`` records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

from ..errors import FolderError, Problem
from ..hashing import file_digest

SHOWN_ONLY = ("report.html",)
"""Files from which nothing is computed: a change is not an error."""


def check_own_files(folder: Path, digests: Mapping[str, str], within: tuple[str, ...] = ("",)) -> None:
    """Raise FolderError with a problem for each file that is missing, or differs from its recorded SHA-256.

    digests: the ``files`` of the run's record. within: the names of the files to check, or the beginnings of names,
    which end with ``/``; by default all are.
    """
    problems = [
        Problem(found, hint="restore it, or run the recipe again with --force")
        for found in _damaged(folder, digests, within)
    ]
    if problems:
        raise FolderError(problems)


def _damaged(folder: Path, digests: Mapping[str, str], within: tuple[str, ...]) -> Iterator[str]:
    for name, digest in sorted(digests.items()):
        if not name.startswith(within) or name in SHOWN_ONLY:
            continue
        file = folder / name
        try:
            if file_digest(file) == digest:
                continue
            changed = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc).isoformat(" ", "seconds")
        except FileNotFoundError:
            yield f"{file} is missing; the finished run had it"
        except OSError as error:
            yield f"{file} cannot be read: {error.strerror}"
        else:
            yield f"{file} is not the file that the run wrote: it was changed at {changed}"
    unknown = [name for name in _files_within(folder, within) if name not in digests]
    yield from (f"{folder / name} is not a file that the run wrote" for name in unknown)


def _files_within(folder: Path, within: tuple[str, ...]) -> Iterator[str]:
    """The files in the folders that are checked; beside run.json itself, other files are the user's."""
    for start in within:
        if start.endswith("/"):
            for file in sorted((folder / start).rglob("*")):
                if file.is_file():
                    yield file.relative_to(folder).as_posix()
