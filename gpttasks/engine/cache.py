"""A cache of replies in a SQLite file outside the run folders, keyed by everything that a reply depends on.

The key is the SHA-256 of the weights, config, adapter, head, tokenizer, precision, kind of device, context, versions of
the engine and its libraries, and the whole request. A reply is therefore reused only for the same request to the same
model. It may have been computed in another batch, which changes a log-probability by less than 1e-4 nats.
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

VERSION = 6
"""The version of the engines' numbers and of this file's layout. Raise it when either changes: older replies are then
ignored."""

SWITCH = "GPTTASKS_CACHE"
"""The environment variable that names the folder of the cache file; ``off`` disables the cache."""

WRITTEN_AT_ONCE = 4096
"""The default number of requests whose replies are written in one transaction."""

_REPLIES = {kind.__name__: kind for kind in (LogLikelihoodReply, RollingReply, ReadoutReply, GenerateReply)}
LONG = 64
"""The number of values in a tuple above which a key has their digest."""
DIGESTS_KEPT = 16
"""The number of long tuples whose digests are kept."""


def cache_file() -> Path | None:
    """The cache file, in the folder that ``GPTTASKS_CACHE`` names or in the user's cache; None if the cache is off."""
    named = os.environ.get(SWITCH, "")
    if named.lower() == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named or Path(base, "gpttasks")).expanduser() / f"replies-{VERSION}.sqlite"


class CachedEngine:
    """Takes replies from the cache file, passes only the other requests to the inner engine, and stores its replies.

    model:
        everything that the replies depend on apart from the request, as JSON values.
    hits, asked:
        the number of replies that came from the file, and the number of requests.
    problem:
        why the file cannot be used; None if it can. With a problem, every reply comes from the inner engine.
    at_once:
        the number of requests whose replies are written in one transaction; a kill loses at most that many.
    """

    def __init__(self, inner: Engine, model: Mapping[str, Any], file: Path, at_once: int | None = None) -> None:
        self.inner = inner
        self.file = file
        self.at_once = at_once or WRITTEN_AT_ONCE
        self.hits = self.asked = 0
        self.problem: str | None = None
        self._digests: dict[int, tuple[tuple[Any, ...], str]] = {}  # of long tuples, by identity
        self._model = json.dumps([VERSION, model], sort_keys=True)

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`."""
        replies: list[Reply] = []
        for first in range(0, len(requests), self.at_once):
            replies += self._answer_some(requests[first : first + self.at_once], advance)
        return replies

    def _answer_some(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None) -> list[Reply]:
        keys = [self.key(request) for request in requests]
        known = self._read(keys)
        missing = [index for index, key in enumerate(keys) if key not in known]
        self.asked += len(requests)
        self.hits += len(requests) - len(missing)
        if advance and len(missing) < len(requests):
            advance(len(requests) - len(missing), 0)
        new_replies = self.inner.answer([requests[index] for index in missing], advance) if missing else []
        new = {keys[index]: reply for index, reply in zip(missing, new_replies, strict=True)}
        self._write(new)
        return [known[key] if key in known else new[key] for key in keys]

    def key(self, request: Request) -> bytes:
        """The key of a request's reply."""
        values = {field.name: self._short(getattr(request, field.name)) for field in fields(request)}
        text = json.dumps([type(request).__name__, values], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(f"{self._model}\n{text}".encode()).digest()

    def _short(self, value: Any) -> Any:
        """A field of a request as JSON values; of a long tuple, the digest.

        The requests for the options of an example share the tuple of all options: it is written and digested once.
        """
        if not isinstance(value, tuple) or len(value) <= LONG:
            return _json_value(value)
        known = self._digests.get(id(value))
        if known is None:
            if len(self._digests) >= DIGESTS_KEPT:
                self._digests.clear()
            text = json.dumps(_json_value(value), sort_keys=True, ensure_ascii=True)
            # The tuple is kept too: no other can have its identity meanwhile.
            known = self._digests[id(value)] = (value, bytes_digest(text.encode()))
        return {"sha256": known[1]}

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        def read(connection: sqlite3.Connection) -> dict[bytes, Reply]:
            replies = {}
            for key in dict.fromkeys(keys):
                row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    replies[key] = reply_of(row[0])
            return replies

        return self._with_file(read) or {}

    def _write(self, replies: Mapping[bytes, Reply]) -> None:
        rows = [(key, text_of(reply)) for key, reply in replies.items()]
        if rows:
            insert = "INSERT OR REPLACE INTO replies VALUES (?, ?)"
            self._with_file(lambda connection: connection.executemany(insert, rows))

    def _with_file(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """The result of ``work``; None, with ``problem`` set, if the file cannot be used. A damaged file is renamed."""
        if self.problem is not None:
            return None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # Wait up to a minute for another run that is writing. Transactions are short, so the wait is short too.
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
                self.problem = f"{self.file} is damaged ({error}) and was renamed to {aside.name}"
        except OSError as error:
            self.problem = str(full_disk(error) or f"{self.file}: {error.strerror}")
        return None


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


def text_of(reply: Reply) -> str:
    """A reply as JSON."""
    return json.dumps([type(reply).__name__, _json_value(reply)], ensure_ascii=True, allow_nan=False)


def reply_of(text: str) -> Reply:
    """A reply from its JSON text. Raises ValueError, KeyError or TypeError for any other text."""
    name, values = json.loads(text)
    values = {key: _tuples(value) for key, value in values.items()}
    if "cut" in values:
        values["cut"] = Cut(**values["cut"])
    reply: Reply = _REPLIES[name](**values)
    return reply


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _json_value(value: Any) -> Any:
    """A request or reply as JSON values; bytes (of audio or images) become their digest."""
    if is_dataclass(value):
        return {field.name: _json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_json_value(item) for item in value]
    return bytes_digest(value) if isinstance(value, bytes) else value
