"""Replies in a SQLite file: each with a checksum, the oldest removed first, for several processes at once.

A process that needs replies registers as *live* until it has all of its replies. What a live process has read or
written since it began is never removed. A process that does not report for :data:`LIVE_SECONDS`, because it was killed,
no longer counts.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import full_disk
from .reply_text import checksum

LIVE_SECONDS = 600.0
"""A process counts as live if it has reported within this time."""

OTHER_FILES_KEPT = 30 * 86_400.0
"""The seconds for which the files of other versions, and damaged ones, stay in the cache's folder."""

KEPT_FRACTION = 0.9
"""The fraction of the limit to which a file is shortened, so that not every transaction has to remove replies."""

LONGEST_WAIT = 10.0
"""The seconds to wait for another process that is writing to the file."""

# Rows lie in the order in which they were written, so that removing the oldest frees whole pages of the file.
_TABLES = """
    CREATE TABLE IF NOT EXISTS replies (
        age INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE, reply TEXT NOT NULL, checksum BLOB NOT NULL, used REAL NOT NULL
    );
    CREATE TABLE IF NOT EXISTS live (id TEXT PRIMARY KEY, began REAL NOT NULL, seen REAL NOT NULL) WITHOUT ROWID;
"""

_ROW_BYTES = 120
"""About the bytes that a row takes beside its text: the key (twice), the checksum, the time and SQLite's own."""


@dataclass(frozen=True)
class StoreState:
    """What a file of replies holds: its size, the number of replies, and when the oldest and newest were last used.

    live: the number of processes that are using it now.
    """

    bytes: int
    replies: int
    oldest: float | None
    newest: float | None
    live: int


class ReplyStore:
    """Replies by key in a SQLite file.

    limit:
        the size in bytes above which the oldest replies are removed; None for no limit.
    private:
        whether only the user may read the file and its folder.
    problem:
        why the file cannot be used; None if it can. With a problem, nothing is read or written.
    set_aside:
        what happened to a damaged file, which was renamed before a new one was begun; None if nothing was damaged.
    """

    def __init__(self, file: Path, *, limit: int | None = None, private: bool = False) -> None:
        self.file, self.limit, self.private = file, limit, private
        self.problem: str | None = None
        self.set_aside: str | None = None
        self._id, self._began = uuid.uuid4().hex, time.time()

    def read(self, keys: Iterable[bytes]) -> tuple[dict[bytes, bytes], int]:
        """The texts under these keys, and the number of those left out because their checksum is wrong.

        From now on this process counts as live, and the replies as used by it.
        """
        distinct = list(dict.fromkeys(keys))

        def read(connection: sqlite3.Connection) -> tuple[dict[bytes, bytes], int]:
            found, damaged = {}, 0
            for key in distinct:
                row = connection.execute("SELECT reply, checksum FROM replies WHERE key = ?", (key,)).fetchone()
                if row is None:
                    continue
                if isinstance(row[0], bytes) and row[1] == checksum(key, row[0]):
                    found[key] = row[0]
                else:
                    damaged += 1
            self._report(connection)
            used = [(self._began, key, self._began) for key in found]
            connection.executemany("UPDATE replies SET used = ? WHERE key = ? AND used < ?", used)
            return found, damaged

        return self._with_file(read) or ({}, 0)

    def write(self, texts: Sequence[tuple[bytes, str]]) -> None:
        """Store texts under keys in one transaction, and remove the oldest ones if the file is above its limit."""
        now = time.time()
        rows = [(key, text, checksum(key, text), now) for key, text in texts]

        def write(connection: sqlite3.Connection) -> None:
            self._report(connection)
            connection.executemany(
                "INSERT OR REPLACE INTO replies (key, reply, checksum, used) VALUES (?, ?, ?, ?)", rows
            )
            self._shorten(connection)

        self._with_file(write)

    def report_live(self) -> None:
        """Tell the other processes that this one is still working."""
        self._with_file(self._report)

    def done(self) -> None:
        """This process has all of its replies: they may be removed from the file now."""

        def end(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM live WHERE id = ?", (self._id,))
            self._shorten(connection)

        self._with_file(end)
        if self.private:
            remove_other_files(self.file, OTHER_FILES_KEPT)

    def clear(self) -> int:
        """Remove all replies but those that a live process needs; return the number of those removed."""
        count = self._with_file(lambda connection: _remove(connection, 0))
        return int(count or 0)

    def state(self) -> StoreState | None:
        """What the file holds; None, with ``problem`` set, if it cannot be used."""

        def state(connection: sqlite3.Connection) -> StoreState:
            row = connection.execute(
                "SELECT count(*), min(CAST(used AS REAL)), max(CAST(used AS REAL)) FROM replies"
            ).fetchone()
            (live,) = connection.execute("SELECT count(*) FROM live WHERE seen >= ?", (_last_live(),)).fetchone()
            return StoreState(_size(connection), row[0], row[1], row[2], live)

        result: StoreState | None = self._with_file(state)
        return result

    def _shorten(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest replies if the file is above its limit, but none that a live process needs."""
        if self.limit is not None:
            connection.commit()
            _shorten(connection, self.limit)

    def _report(self, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO live VALUES (?, ?, ?)", (self._id, self._began, time.time()))

    def _with_file(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """The result of ``work`` in one transaction; None, with ``problem`` set, if the file cannot be used."""
        for attempt in range(2):
            if self.problem is not None:
                return None
            try:
                with self._open() as connection:
                    return work(connection)
            except sqlite3.Error as error:
                if not _is_damage(error) or attempt:
                    self.problem = str(full_disk(error) or f"{self.file}: {error}")
                    return None
                self._begin_anew(error)
            except OSError as error:
                self.problem = str(full_disk(error) or f"{self.file}: {error.strerror or error}")
        return None

    def _begin_anew(self, error: sqlite3.Error) -> None:
        try:
            aside = set_aside(self.file)
        except OSError as reason:
            self.problem = f"{self.file} is damaged ({error}) and cannot be renamed: {reason.strerror}"
        else:
            self.set_aside = f"{self.file} is damaged ({error}) and was renamed to {aside.name}"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if self.private else 0o777)
        if self.private:
            make_private(self.file)
        # Wait for another run that is writing. Transactions are short, so the wait is short too.
        with closing(sqlite3.connect(self.file, timeout=LONGEST_WAIT)) as connection:
            connection.text_factory = bytes  # damaged text is then no error of SQLite
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of use only before the file has tables
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing, a power cut the last seconds
            connection.executescript(_TABLES)
            with connection:
                yield connection


def make_private(file: Path) -> None:
    """Let only the user read the file, and its folder if there is nothing else in it.

    Raises PermissionError for a file of another user, who could have put any reply into it.
    """
    if os.name == "nt":  # the folders of a user are private there
        return
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    user = os.getuid()
    if file.stat().st_uid != user:
        raise PermissionError(0, "the file belongs to another user; set GPTTASKS_CACHE to a folder of yours")
    for path in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
    folder = file.parent
    status = folder.stat()
    if status.st_uid == user and status.st_mode & 0o077 and all(is_reply_file(path) for path in folder.iterdir()):
        folder.chmod(0o700)


def is_reply_file(path: Path) -> bool:
    """Whether a file in the cache's folder was made by the cache, of this or another version."""
    return path.name.startswith("replies-") and ".sqlite" in path.name


def other_files(file: Path) -> list[Path]:
    """The files beside the cache file that damage or another version of gpttasks has left."""
    own = {file.name, f"{file.name}-wal", f"{file.name}-shm"}
    if not file.parent.is_dir():
        return []
    return sorted(path for path in file.parent.iterdir() if is_reply_file(path) and path.name not in own)


def remove_other_files(file: Path, older_than: float = 0.0) -> None:
    """Delete :func:`other_files` that were not changed for ``older_than`` seconds."""
    for path in other_files(file):
        with suppress(OSError):  # another process may have deleted it just now
            if time.time() - path.stat().st_mtime >= older_than:
                path.unlink()


def set_aside(file: Path) -> Path:
    """Rename a damaged file, delete SQLite's files beside it, and return the new path."""
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    with suppress(FileNotFoundError):  # another run may have renamed it just now
        file.rename(aside)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return aside


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is wrong; not if it is in use, the disk is full or a permission is missing."""
    if not isinstance(error, sqlite3.OperationalError):
        return True
    text = str(error)  # Python 3.10 has no error codes
    return "no such column" in text or "has no column" in text or "no such table" in text or "malformed" in text


def _last_live() -> float:
    return time.time() - LIVE_SECONDS


def _size(connection: sqlite3.Connection) -> int:
    """The bytes of the file that are in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _shorten(connection: sqlite3.Connection, limit: int) -> None:
    while _size(connection) > limit:  # the bytes of a row are an estimate
        if not _remove(connection, int(limit * KEPT_FRACTION)):
            break


def _remove(connection: sqlite3.Connection, wanted: int) -> int:
    """Remove the oldest replies until the file has at most ``wanted`` bytes; return the number of those removed."""
    connection.execute("BEGIN IMMEDIATE")  # no process can begin to need a reply meanwhile
    connection.execute("DELETE FROM live WHERE seen < ?", (_last_live(),))
    (needed_from,) = connection.execute("SELECT min(CAST(began AS REAL)) FROM live").fetchone()
    surplus = _size(connection) - wanted if wanted else float("inf")  # an empty file has pages too
    oldest = connection.execute(
        "SELECT age, length(CAST(reply AS BLOB)) FROM replies WHERE used < ? ORDER BY age",
        (float("inf") if needed_from is None else needed_from,),
    )
    ages = []
    for age, length in oldest:
        if surplus <= 0:
            break
        surplus -= length + _ROW_BYTES
        ages.append((age,))
    connection.executemany("DELETE FROM replies WHERE age = ?", ages)
    connection.commit()
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page
    return len(ages)
