"""SHA-256 digests of files. Those of large files are remembered until the file changes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .files import write_text
from .hashing import file_digest
from .terminal import say
from .user_cache import cache_folder

NAME = "digests.json"
LARGE = 2**20
"""The size in bytes from which a digest is remembered; smaller files are hashed each time."""
ANNOUNCED = 2**28
"""The size in bytes from which hashing is announced: it takes a fifth of a second or more."""
JUST_CHANGED = 2.0
"""A file that changed within so many seconds may change again without another time: its digest is not remembered."""
MOST_FILES = 10_000


def digests_of(files: Mapping[str, Path], *, remembered: bool = True) -> dict[str, str]:
    """The SHA-256 of each file, in hex, under the same names.

    The digest of a file of 1 MiB or more is kept in the user's cache, and is valid as long as the file's path, size,
    inode, modification time and change time are the same. With ``remembered`` False, every file is read. Raises OSError
    for a file that cannot be read.
    """
    if not remembered:
        return {name: file_digest(file) for name, file in files.items()}
    known = _Remembered()
    unknown = {name: file for name, file in files.items() if known.get(file) is None}
    size = sum(file.stat().st_size for file in unknown.values())
    if size >= ANNOUNCED:
        where = sorted({str(file.parent) for file in unknown.values()})[0]
        say(f"hashing {size / 1e9:.1f} GB in {where}, once")
    found = {name: known.get(file) or known.add(file) for name, file in files.items()}
    known.save()
    return found


class _Remembered:
    """The digests of large files by path, each with what must be equal for it to be valid."""

    def __init__(self) -> None:
        folder = cache_folder()
        self._file = None if folder is None else folder / NAME
        self._new: dict[str, list[int | str]] = {}
        self._known = self._read()

    def get(self, file: Path) -> str | None:
        entry = self._new.get(str(file.resolve())) or self._known.get(str(file.resolve()))
        if not isinstance(entry, list) or entry[:-1] != file_status(file):
            return None
        digest = entry[-1]
        return digest if isinstance(digest, str) and len(digest) == 64 else None

    def add(self, file: Path) -> str:
        """Hash a file, and remember the digest unless the file is small or changed a moment ago."""
        before = file_status(file)
        digest = file_digest(file)
        status = file.stat()
        if status.st_size >= LARGE and is_settled(file) and file_status(file) == before:
            self._new[str(file.resolve())] = [*before, digest]
        return digest

    def save(self) -> None:
        """Write the new digests. A cache that cannot be written costs time, but changes no result."""
        if self._file is None or not self._new:
            return
        kept = {**self._read(), **self._new}
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(self._file, json.dumps(dict(list(kept.items())[-MOST_FILES:])))

    def _read(self) -> dict[str, list[int | str]]:
        try:
            found = json.loads(self._file.read_text("utf-8")) if self._file is not None else {}
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def file_status(file: Path) -> list[int]:
    """What changes when a file changes: size, times and inode. Raises OSError for a file that is not there."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def is_settled(file: Path) -> bool:
    """Whether another change of the file would change its :func:`file_status`: the last one is not too recent."""
    status = file.stat()
    return time.time() - max(status.st_mtime, status.st_ctime) > JUST_CHANGED
