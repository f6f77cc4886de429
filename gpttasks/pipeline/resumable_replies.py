"""Replies of a backbone that is its own engine, kept in the run folder until the run is finished.

The replies of a model in memory are in the user's cache, which outlives the run. A server, or a plugin's backbone, may
reply differently in another run; but an interrupted run does not send its requests twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engine.cache import CachedEngine
from ..errors import PluginError
from ..plugins.faults import blamed
from ..records.folder import REPLIES, RunFolder
from ..requests import Engine, Reply, Request

KEPT_AT_ONCE = 64
"""Requests whose replies are written together: after an interruption at most this many are asked again."""


class CountedReplies:
    """Checks that the inner engine replies to each request."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises PluginError for another number of replies than of requests."""
        replies = self.inner.answer(requests, advance)
        with blamed(self.inner, "answer"):
            if len(replies) != len(requests):
                raise PluginError(f"{len(replies)} replies to {len(requests)} requests, expected one each")
        return replies


def kept_in_run(inner: Engine, model: Mapping[str, Any], folder: RunFolder) -> CachedEngine:
    """The engine with its replies kept in the run folder; for ``model`` see :class:`CachedEngine`."""
    return CachedEngine(CountedReplies(inner), model, folder / REPLIES, KEPT_AT_ONCE)
