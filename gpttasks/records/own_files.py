"""Whether the files of a finished run are those that ``run.json`` records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..errors import FolderError, Problem
from ..hashing import file_digest
from ..remembered_digests import file_status

SHOWN_ONLY = ("report.html",)
"""Files from which nothing is computed: a change is not an error."""


@dataclass(frozen=True)
class OwnFiles:
    """Files of a run that are those that its record names, as they were when they were compared.

    digests:
        the SHA-256 of each file, in hex.
    """

    digests: Mapping[Path, str]
    statuses: Mapping[Path, list[int]]

    def check_unchanged(self) -> None:
        """Raise FolderError for a file that was changed after it was compared, while it was being used."""
        for file, before in self.statuses.items():
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
    """Compare files of a run with their recorded SHA-256.

    Raises FolderError with a problem for each file that is missing or different, and for one that was not recorded.

    digests: the ``files`` of the run's record. within: the names of the files to check, or the beginnings of names,
    which end with ``/``; by default all are. digest_of: reads a file and returns its SHA-256.
    """
    found: dict[Path, str] = {}
    statuses: dict[Path, list[int]] = {}
    problems: list[str] = []
    for name, digest in sorted(digests.items()):
        if not name.startswith(within) or name in SHOWN_ONLY:
            continue
        file = folder / name
        try:
            statuses[file] = file_status(file)
            found[file] = digest_of(file)
            modified = file.stat().st_mtime
        except FileNotFoundError:
            problems.append(f"{file} is missing; the finished run had it")
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
        else:
            if found[file] != digest:
                changed = datetime.fromtimestamp(modified, timezone.utc).isoformat(" ", "seconds")
                problems.append(f"{file} is not the file that the run wrote: it was changed at {changed}")
    unknown = [name for name in _files_within(folder, within) if name not in digests]
    problems += [f"{folder / name} is not a file that the run wrote" for name in unknown]
    if problems:
        hint = "restore it, or run the recipe again with --force"
        raise FolderError([Problem(problem, hint=hint) for problem in problems])
    return OwnFiles(found, statuses)


def _files_within(folder: Path, within: tuple[str, ...]) -> Iterator[str]:
    """The files in the folders that are checked; beside run.json itself, other files are the user's."""
    for start in within:
        if start.endswith("/"):
            for file in sorted((folder / start).rglob("*")):
                if file.is_file():
                    yield file.relative_to(folder).as_posix()
