"""Replies of a backbone that is its own engine, kept in the run folder until the run is finished.

A local model's replies are in the user's cache, which outlives the run. Those of a server or of a plugin's backbone are
no promise for another run, but an interrupted one need not ask again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engine.cache import CachedEngine, reply_of, text_of
from ..errors import PluginError
from ..requests import Engine, Reply, Request
from ..run_folder import REPLIES, RunFolder
from .plugin_faults import blamed

KEPT_AT_ONCE = 64
"""Requests that are asked, and whose replies are kept, together: so many may have to be asked again."""


class KeptReplies:
    """Asks the inner engine only what it has not replied to in this run.

    model:
        all that the replies depend on beside the request, of JSON values.
    found:
        how many replies an earlier attempt had left.
    """

    def __init__(self, inner: Engine, model: Mapping[str, Any], folder: RunFolder) -> None:
        self.inner, self.folder = inner, folder
        self._key = CachedEngine(inner, model, folder / REPLIES).key
        self._known = self._read()
        self.found = 0

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises PluginError for another number of replies than of requests."""
        keys = [self._key(request).hex() for request in requests]
        replies = {index: self._known[key] for index, key in enumerate(keys) if key in self._known}
        missing = [index for index in range(len(requests)) if index not in replies]
        self.found += len(replies)
        if advance and replies:
            advance(len(replies), 0)
        for first in range(0, len(missing), KEPT_AT_ONCE):
            some = missing[first : first + KEPT_AT_ONCE]
            given = self.inner.answer([requests[index] for index in some], advance)
            with blamed(self.inner, "answer"):
                if len(given) != len(some):
                    raise PluginError(f"{len(given)} replies to {len(some)} requests, wanted one each")
            replies.update(zip(some, given, strict=True))
            self._keep([(keys[index], reply) for index, reply in zip(some, given, strict=True)])
        return [replies[index] for index in range(len(requests))]

    def _read(self) -> dict[str, Reply]:
        """The replies in the file, as far as they can be read: a kill may have cut the last line off."""
        file, known = self.folder / REPLIES, {}
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            try:
                key, text = json.loads(line)
                known[key] = reply_of(text)
            except (ValueError, KeyError, TypeError):  # noqa: PERF203 - it is asked again
                continue
        return known

    def _keep(self, replies: Sequence[tuple[str, Reply]]) -> None:
        lines = [json.dumps([key, text_of(reply)]) for key, reply in replies]
        with open(self.folder / REPLIES, "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
