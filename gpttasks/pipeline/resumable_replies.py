"""Replies that are kept in the run folder until the run is finished, so that an interruption loses little work.

These are the replies of a backbone that is its own engine, and those of any model if the cache is off. With the cache,
the replies of a model in memory are in a file that outlives the run. A server, or a plugin's backbone, may reply
differently in another run; but an interrupted run does not send its requests twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engine.cache import CachedEngine
from ..engine.reply_text import check_reply
from ..errors import PluginError
from ..plugins.faults import blamed
from ..records.folder import REPLIES, RunFolder
from ..requests import Engine, KeepsReplies, PassedOn, Reply, Request

AT_FIRST = 64
"""The number of requests that an engine gets first, before it is known how fast it is."""


def check_kind(reply: object, request: Request) -> None:
    """Raises PluginError for a reply of another kind than the request asks for, or with values of wrong types."""
    try:
        check_reply(reply, request)
    except ValueError as error:
        raise PluginError(str(error)) from error


class CountedReplies:
    """Checks that the inner engine gives one reply to each request, and returns the replies that it reported."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`.

        Raises PluginError for another number of replies than of requests, for a reply of a wrong kind, and for replies
        that differ from those that the engine reported.
        """
        watch = _Reported(self.inner, requests, advance) if isinstance(advance, KeepsReplies) else advance
        replies = self.inner.answer(requests, watch)
        with blamed(self.inner, "answer"):
            if len(replies) != len(requests):
                raise PluginError(f"{len(replies)} replies to {len(requests)} requests, expected one each")
            for reply, request in zip(replies, requests, strict=True):
                check_kind(reply, request)
            for index, reply in watch.reported.items() if isinstance(watch, _Reported) else ():
                if reply != replies[index]:
                    raise PluginError(f"the engine reported {reply!r} as final, and then returned {replies[index]!r}")
        return replies


class _Reported(PassedOn):
    """Passes on what an engine reports, and remembers the replies."""

    def __init__(self, engine: Engine, requests: Sequence[Request], advance: KeepsReplies) -> None:
        super().__init__(advance)
        self._engine, self._requests = engine, requests
        self.reported: dict[int, Reply] = {}

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """See :class:`gpttasks.requests.KeepsReplies`. Raises PluginError for anything but replies to the requests."""
        with blamed(self._engine, "answer"):
            for index, reply in replies.items():
                if index not in range(len(self._requests)):
                    raise PluginError(f"a reply to request {index!r} of {len(self._requests)}, which count from 0")
                check_kind(reply, self._requests[index])
        self.reported.update(replies)
        super().finished(replies)


def kept_in_run(inner: Engine, model: Mapping[str, Any], folder: RunFolder, *, own_engine: bool) -> CachedEngine:
    """The engine with its replies kept in the run folder; for ``model`` see :class:`CachedEngine`.

    own_engine: whether the backbone is its own engine, whose replies are then checked.
    """
    if not own_engine:
        return CachedEngine(inner, model, folder / REPLIES)
    return CachedEngine(CountedReplies(inner), model, folder / REPLIES, AT_FIRST)
