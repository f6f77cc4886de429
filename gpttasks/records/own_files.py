"""Whether the files of a finished run are those that ``run.json`` records."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from ..errors import FolderError, Problem
from ..hashing import file_digest
from ..remembered_digests import file_status

SHOWN_ONLY = ("report.html",)
"""Files from which nothing is computed: a change is not an error."""


class OwnFiles:
    """Files of a run that are those that its record names, as they were when they were compared.

    digests:
        the SHA-256 of each file, in hex.
    """

    def __init__(self, digest_of: Callable[[Path], str]) -> None:
        self.digests: dict[Path, str] = {}
        self._digest_of = digest_of
        self._statuses: dict[Path, list[int]] = {}

    def read(self, file: Path) -> str:
        """The digest of a file, which is kept. Raises OSError."""
        self._statuses[file] = file_status(file)
        self.digests[file] = self._digest_of(file)
        return self.digests[file]

    def check_unchanged(self) -> None:
        """Raise FolderError for a file that was changed after it was compared, while it was being used."""
        for file, before in self._statuses.items():
            try:
                unchanged = file_status(file) == before
            except OSError:
                unchanged = False
            if not unchanged:
                raise FolderError(f"{file} was changed while the run was being loaded", hint="load the run again")


def check_own_files(
    folder: Path,
    digests: Mapping[str, str],
    within: tuple[str, ...] = ("",),
    digest_of: Callable[[Path], str] = file_digest,
) -> OwnFiles:
    """Raise FolderError with a problem for each file that is missing, or differs from its recorded SHA-256.

    digests: the ``files`` of the run's record. within: the names of the files to check, or the beginnings of names,
    which end with ``/``; by default all are. digest_of: reads a file and returns its SHA-256.
    """
    own = OwnFiles(digest_of)
    problems = [
        Problem(found, hint="restore it, or run the recipe again with --force")
        for found in _damaged(folder, digests, within, digest_of=own.read)
    ]
    if problems:
        raise FolderError(problems)
    return own


def changed_report(folder: Path, digests: Mapping[str, str]) -> str | None:
    """What to say about a report that is not the one that the run wrote; None if it is, or the run wrote none."""
    for name in SHOWN_ONLY:
        if name in digests:
            for found in _damaged(folder, {name: digests[name]}, (name,), ignored=()):
                return found
    return None


def _damaged(
    folder: Path,
    digests: Mapping[str, str],
    within: tuple[str, ...],
    *,
    ignored: tuple[str, ...] = SHOWN_ONLY,
    digest_of: Callable[[Path], str] = file_digest,
) -> Iterator[str]:
    for name, digest in sorted(digests.items()):
        if not name.startswith(within) or name in ignored:
            continue
        file = folder / name
        if not _is_inside(name):
            yield f"{folder / 'run.json'} is damaged: {name!r} is not a file of the run folder"
            continue
        try:
            if not stat.S_ISREG(file.stat().st_mode):  # a pipe would never end
                yield f"{file} is not a regular file, as the run wrote it"
                continue
            if digest_of(file) == digest:
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


def _is_inside(name: str) -> bool:
    """Whether the name of a file of the record cannot lead out of the run folder."""
    path = PurePosixPath(name)
    if not path.parts or not name.isprintable():
        return False
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in path.parts[0]


def _files_within(folder: Path, within: tuple[str, ...]) -> Iterator[str]:
    """The files in the folders that are checked; beside run.json itself, other files are the user's."""
    for start in within:
        if start.endswith("/"):
            for file in sorted((folder / start).rglob("*")):
                # Also a pipe, which would be waited for; but not what a file manager leaves.
                if not file.is_dir() and not file.name.startswith("."):
                    yield file.relative_to(folder).as_posix()
