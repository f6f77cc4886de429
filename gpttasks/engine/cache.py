"""Replies that were given before: kept in a SQLite file outside the run folders, under all that they depend on.

The key is the SHA-256 of the weights, config, adapter, head, tokenizer, precision, kind of device, context, versions of
the engine and its libraries, and the whole request. So a reply is found only for the same question to the same model.
It may have been worked out in another batch, which moves a log-probability by less than 1e-4 nats.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ..errors import full_disk
from ..hashing import bytes_digest
from ..requests import Cut, Engine, GenerateReply, LogLikelihoodReply, ReadoutReply, Reply, Request, RollingReply

VERSION = 2
"""Of the engines' numbers and of this file's layout: raise it when either changes; older replies are then not found."""

SWITCH = "GPTTASKS_CACHE"
"""The environment variable with the folder of the file, or ``off``."""

WRITTEN_AT_ONCE = 4096
"""Requests whose replies are written together, where nothing else is asked for."""

_REPLIES = {kind.__name__: kind for kind in (LogLikelihoodReply, RollingReply, ReadoutReply, GenerateReply)}


def cache_file() -> Path | None:
    """Where replies are kept: in the folder that ``GPTTASKS_CACHE`` names, else in the user's cache; None if off."""
    named = os.environ.get(SWITCH, "")
    if named.lower() == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named or Path(base, "gpttasks")).expanduser() / f"replies-{VERSION}.sqlite"


class CachedEngine:
    """Asks the inner engine only what is not in the file, and writes down what it replies.

    model:
        all that the replies depend on beside the request, of JSON values.
    hits, asked:
        how many replies were there already, and how many requests came.
    problem:
        why the file could not be used, None if it could. The replies come from the engine then.
    at_once:
        requests whose replies are written together; so many may have to be asked again after a kill.
    """

    def __init__(self, inner: Engine, model: Mapping[str, Any], file: Path, at_once: int | None = None) -> None:
        self.inner = inner
        self.file = file
        self.at_once = at_once or WRITTEN_AT_ONCE
        self.hits = self.asked = 0
        self.problem: str | None = None
        self._model = json.dumps([VERSION, model], sort_keys=True)

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`."""
        found: list[Reply] = []
        for first in range(0, len(requests), self.at_once):
            found += self._some(requests[first : first + self.at_once], advance)
        return found

    def _some(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None) -> list[Reply]:
        keys = [self.key(request) for request in requests]
        known = self._read(keys)
        missing = [index for index, key in enumerate(keys) if key not in known]
        self.asked += len(requests)
        self.hits += len(requests) - len(missing)
        if advance and len(missing) < len(requests):
            advance(len(requests) - len(missing), 0)
        given = self.inner.answer([requests[index] for index in missing], advance) if missing else []
        new = {keys[index]: reply for index, reply in zip(missing, given, strict=True)}
        self._write(new)
        return [known[key] if key in known else new[key] for key in keys]

    def key(self, request: Request) -> bytes:
        """What a request's reply is kept under."""
        text = json.dumps([type(request).__name__, _plain(request)], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(f"{self._model}\n{text}".encode()).digest()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        def read(connection: sqlite3.Connection) -> dict[bytes, Reply]:
            found = {}
            for key in dict.fromkeys(keys):
                row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = reply_of(row[0])
            return found

        return self._with_file(read) or {}

    def _write(self, replies: Mapping[bytes, Reply]) -> None:
        lines = [(key, text_of(reply)) for key, reply in replies.items()]
        if lines:
            insert = "INSERT OR REPLACE INTO replies VALUES (?, ?)"
            self._with_file(lambda connection: connection.executemany(insert, lines))

    def _with_file(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """What ``work`` gives; None if the file cannot be used, which is remembered. A damaged file is set aside."""
        if self.problem is not None:
            return None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # A minute: another run may be writing. Transactions are short, so that neither waits long.
            with closing(sqlite3.connect(self.file, timeout=60)) as connection, connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID"
                )
                return work(connection)
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
            locked = isinstance(error, sqlite3.OperationalError)
            self.problem = f"{self.file}: {error}"
            if not locked:
                aside = set_aside(self.file)
                self.problem = f"{self.file} is damaged ({error}) and was set aside as {aside.name}"
        except OSError as error:
            self.problem = str(full_disk(error) or f"{self.file}: {error.strerror}")
        return None


def set_aside(file: Path) -> Path:
    """Rename a damaged file, and what SQLite keeps beside it; gives the new path."""
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    with suppress(FileNotFoundError):  # another run has just done the same
        file.rename(aside)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return aside


def text_of(reply: Reply) -> str:
    """A reply as JSON."""
    return json.dumps([type(reply).__name__, _plain(reply)], ensure_ascii=True, allow_nan=False)


def reply_of(text: str) -> Reply:
    """A reply from its JSON. Raises ValueError, KeyError or TypeError for anything else."""
    name, values = json.loads(text)
    values = {key: _tuples(value) for key, value in values.items()}
    if "cut" in values:
        values["cut"] = Cut(**values["cut"])
    reply: Reply = _REPLIES[name](**values)
    return reply


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """A request or reply in dicts, lists and scalars; bytes (of audio or images) by their digest."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return bytes_digest(value) if isinstance(value, bytes) else value
