"""What heads ask of an engine, and what it replies.

A request is complete in itself and no reply depends on another request, so an engine may reorder, batch, share and
cache as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .tasks.example import Prompt


@dataclass(frozen=True)
class Cut:
    """What had to go because the text was longer than the context: tokens of passages, and whole shots."""

    tokens: int = 0
    shots: int = 0


NOTHING_CUT = Cut()


@dataclass(frozen=True)
class LogLikelihood:
    """How likely is ``continuation`` after ``prompt``?

    ``beside`` are the continuations it will be compared with: where the prompt is too long, it is cut for the longest
    of them, so that all are asked after the same text.
    """

    prompt: Prompt
    continuation: str
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogLikelihoodReply:
    """``logprob`` in nats, summed over the continuation's ``tokens``; ``greedy`` if each was the likeliest one."""

    logprob: float
    tokens: int
    greedy: bool
    cut: Cut = NOTHING_CUT


@dataclass(frozen=True)
class Rolling:
    """How likely is the whole text?

    A text longer than the context is read in windows, each beginning with the last token of the one before, so that
    every token is predicted once.
    """

    prompt: Prompt


@dataclass(frozen=True)
class RollingReply:
    """``logprob`` in nats over all ``tokens`` of the text, which is ``bytes`` long in UTF-8."""

    logprob: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Readout:
    """What does the head's own ``module`` say of the hidden state at the prompt's last token?"""

    prompt: Prompt
    module: str


@dataclass(frozen=True)
class ReadoutReply:
    """The module's output there, as floats."""

    values: tuple[float, ...]
    cut: Cut = NOTHING_CUT


Request: TypeAlias = "LogLikelihood | Rolling | Readout"
Reply: TypeAlias = "LogLikelihoodReply | RollingReply | ReadoutReply"


class Engine(Protocol):
    """Answers requests; local models, scripted ones and API clients alike."""

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """One reply a request, in the order of the requests.

        ``advance(requests, tokens)`` is called as they are done, with the number of requests and of useful tokens.
        """
        ...
