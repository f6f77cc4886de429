"""A cache of replies in a SQLite file outside the run folders, keyed by everything that a reply depends on.

The key is the SHA-256 of the weights, config, adapter, head, tokenizer, precision, kind of device, context, versions of
the engine and its libraries, and the whole request. A reply is therefore reused only for the same request to the same
model. It may have been computed in another batch, which changes a log-probability by less than 1e-4 nats.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..hashing import bytes_digest
from ..requests import Engine, PassedOn, Reply, Request
from ..user_cache import SWITCH, cache_folder
from .reply_store import ReplyStore
from .reply_text import field_names, plain, reply_of, text_of

VERSION = 7
"""The version of the engines' numbers and of this file's layout. Raise it when either changes: older replies are then
ignored."""

SIZE = "GPTTASKS_CACHE_SIZE"
"""The environment variable that sets the largest size of the cache file, such as ``500MB``."""

DEFAULT_SIZE = 1_000_000_000
"""The largest size of the cache file in bytes, unless :data:`SIZE` sets another: some millions of replies."""

KEPT_EVERY = 2.0
"""The seconds after which finished replies are written: a kill loses what was finished since."""

ASKED_AT_ONCE = 4096
"""The most requests that the inner engine gets at once."""

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

LONG = 64
"""The number of values in a tuple above which a key has their digest."""
TUPLES_KEPT = 16
"""The number of tuples whose texts in keys are kept."""

_CONSTANTS = {None: "null", True: "true", False: "false"}
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, default=plain)


def cache_file() -> Path | None:
    """The cache file, in the folder of the user's caches; None if the caches are off."""
    folder = cache_folder()
    return None if folder is None else folder / f"replies-{VERSION}.sqlite"


def cache_limit() -> int:
    """The largest size of the cache file in bytes. Raises UserError if ``GPTTASKS_CACHE_SIZE`` is not a size."""
    text = os.environ.get(SIZE, "").strip()
    if not text:
        return DEFAULT_SIZE
    size = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT]?B)?", text.upper(), re.ASCII)
    if size is None:
        expected = f"expected a size such as 500MB or {DEFAULT_SIZE // 10**9}GB"
        raise UserError(Problem(f"{SIZE} is {text[:40]!r}, {expected}", hint=f"{SWITCH}=off disables the cache"))
    return int(float(size[1]) * _UNITS["" if size[2] in (None, "B") else size[2]])


class CachedEngine:
    """Takes replies from a file, passes only the other requests to the inner engine, and stores its replies.

    Replies are stored as soon as the engine has finished them, :data:`KEPT_EVERY` seconds after the last ones. An
    engine that does not report them (see :class:`gpttasks.requests.KeepsReplies`) gets only as many requests at a time
    as it answers within some seconds.

    model:
        everything that the replies depend on apart from the request, as JSON values.
    file:
        where the replies are, or the store itself.
    at_once:
        the most requests for the inner engine at first; as many as :data:`ASKED_AT_ONCE` as soon as it reports replies.
    hits, asked:
        the number of replies that came from the file, and the number of requests.
    damaged:
        the number of replies in the file that were not as written, and were asked again.
    """

    def __init__(
        self, inner: Engine, model: Mapping[str, Any], file: Path | ReplyStore, at_once: int = ASKED_AT_ONCE
    ) -> None:
        self.inner = inner
        self.store = file if isinstance(file, ReplyStore) else ReplyStore(file)
        self.hits = self.asked = self.damaged = 0
        self._pace = Pace(at_once)
        self._texts: dict[int, tuple[tuple[Any, ...], str]] = {}  # of tuples, by identity
        self._of_model = hashlib.sha256(f"{json.dumps([VERSION, model], sort_keys=True)}\n".encode())

    @property
    def file(self) -> Path:
        """Where the replies are."""
        return self.store.file

    @property
    def problem(self) -> str | None:
        """Why replies could not be stored, or were lost; None if all went well."""
        return self.store.problem or self.store.set_aside

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`."""
        keys = [self.key(request) for request in requests]
        replies = self._known(keys, requests)
        missing = [index for index, key in enumerate(keys) if key not in replies]
        self.asked += len(requests)
        self.hits += len(requests) - len(missing)
        if advance and len(missing) < len(requests):
            advance(len(requests) - len(missing), 0)
        first = 0
        while first < len(missing):
            some = missing[first : first + self._pace.size]
            first += len(some)
            answered = self._ask([requests[index] for index in some], [keys[index] for index in some], advance)
            replies.update(zip((keys[index] for index in some), answered, strict=True))
        self.store.done()
        return [replies[key] for key in keys]

    def key(self, request: Request) -> bytes:
        """The key of a request's reply."""
        kind: Any = type(request)
        texts = ", ".join([f'"{name}": {self._text(getattr(request, name))}' for name in sorted(field_names(kind))])
        digest = self._of_model.copy()
        digest.update(f'["{kind.__name__}", {{{texts}}}]'.encode())
        return digest.digest()

    def _text(self, value: Any) -> str:
        """A field of a request as JSON; of a long tuple, the digest.

        The requests for the options of an example share the prompt and the tuple of all options: each is encoded, and
        digested, once.
        """
        if value is None or value is True or value is False:
            return _CONSTANTS[value]
        if not isinstance(value, tuple):
            return _ENCODER.encode(value)
        if not value:
            return "[]"
        known = self._texts.get(id(value))
        if known is None:
            if len(self._texts) >= TUPLES_KEPT:
                self._texts.clear()
            text = _ENCODER.encode(value)
            if len(value) > LONG:
                text = _ENCODER.encode({"sha256": bytes_digest(text.encode())})
            # The tuple is kept too: no other can have its identity meanwhile.
            known = self._texts[id(value)] = (value, text)
        return known[1]

    def _known(self, keys: Sequence[bytes], requests: Sequence[Request]) -> dict[bytes, Reply]:
        """The replies in the file; those that are not as they were written are counted and left out."""
        texts, damaged = self.store.read(keys)
        self.damaged += damaged
        replies = {}
        for key, request in dict(zip(keys, requests, strict=True)).items():
            if key in texts:
                reply = _reply_or_none(texts.pop(key), request)
                if reply is None:
                    self.damaged += 1
                else:
                    replies[key] = reply
        return replies

    def _ask(
        self, requests: Sequence[Request], keys: Sequence[bytes], advance: Callable[[int, int], None] | None
    ) -> list[Reply]:
        """The inner engine's replies, which are in the file afterwards; after an error, those that it reported."""
        keeper = _Keeper(self.store, keys, advance)
        began = time.monotonic()
        try:
            replies = self.inner.answer(requests, keeper)
        finally:
            keeper.write()
        if keeper.kept:
            self._pace.size = ASKED_AT_ONCE
        else:
            self._pace.took(len(requests), time.monotonic() - began)
        keeper.finished({index: reply for index, reply in enumerate(replies) if index not in keeper.kept})
        keeper.write()
        return replies


def _reply_or_none(text: bytes, request: Request) -> Reply | None:
    try:
        return reply_of(text, request)
    except ValueError:
        return None


class Pace:
    """How many requests an engine gets at once that does not report its replies.

    About as many as it answers in :data:`KEPT_EVERY` seconds, but not so few that it answers fewer in a second.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rates: dict[int, float] = {}

    def took(self, requests: int, seconds: float) -> None:
        """So many requests took so long."""
        rate = requests / max(seconds, 1e-9)
        if requests < self.size:  # the last ones say little about a whole batch
            return
        self._rates[self.size] = rate
        if seconds < KEPT_EVERY:
            self.size = min(ASKED_AT_ONCE, 2 * self.size)
        elif self._rates.get(2 * self.size, 0) * 0.8 > rate:
            self.size *= 2  # the engine works at several requests together
        elif seconds > 2 * KEPT_EVERY and self._rates.get(self.size // 2, rate) >= 0.8 * rate:
            self.size = max(1, self.size // 2)


class _Keeper(PassedOn):
    """Stores replies as the engine reports them, and passes its progress on.

    kept: the indices of the requests whose replies were reported.
    """

    def __init__(self, store: ReplyStore, keys: Sequence[bytes], advance: Callable[[int, int], None] | None) -> None:
        super().__init__(advance)
        self._store, self._keys = store, keys
        self._waiting: list[tuple[bytes, Reply]] = []
        self._written = self._live = time.monotonic()
        self.kept: set[int] = set()

    def __call__(self, requests: int, tokens: int, /) -> None:
        now = time.monotonic()
        if self._waiting and now - self._written >= KEPT_EVERY:
            self.write()
        elif now - self._live >= 60:
            self._live = now
            self._store.report_live()
        super().__call__(requests, tokens)

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """See :class:`gpttasks.requests.KeepsReplies`."""
        self.kept.update(replies)
        self._waiting += [(self._keys[index], reply) for index, reply in replies.items()]
        if time.monotonic() - self._written >= KEPT_EVERY:
            self.write()

    def write(self) -> None:
        """Write the replies that wait."""
        if self._waiting:
            self._store.write([(key, text_of(reply)) for key, reply in self._waiting])
            self._waiting = []
        self._written = self._live = time.monotonic()
