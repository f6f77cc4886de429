"""What a head says about one example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A head's answer.

    value:
        of the kind that the head ``gives``: ``label`` an index into the example's choices; ``nll`` the negative
        log-likelihood in nats; ``text``, ``span``, ``number`` and ``labels`` what they say; ``responses`` what came of
        each of several requests.
    text:
        the answer as a person would read it.
    scores:
        for ``label``, one probability a choice, summing to 1; for ``nll``, (nats, tokens, bytes).
    detail:
        anything else worth keeping, of JSON types.
    """

    value: Any
    text: str = ""
    scores: tuple[float, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
