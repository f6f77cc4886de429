"""What heads ask of an engine, and what it replies.

A request is complete in itself and no reply depends on another request, so an engine may reorder, batch, share and
cache as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .example import Prompt
from .hashing import seeded_hash

NEAR_TIE = 2e-4
"""A margin between the first two of several values below which batching may turn their order round: it is reported."""


TIE = 5e-5
"""A margin below which options count as equally likely. It is smaller than :data:`NEAR_TIE`, so that batching moves
no choice whose margin is above that."""


def best_option(values: Sequence[float], texts: Sequence[str], *, seed: int, id: str) -> tuple[int, bool]:
    """The index of the highest value, and whether others are within :data:`TIE` of it.

    A tie is decided by a hash of the seed, the example's ``id`` and the option's text: the first option would make a
    model that cannot tell options apart as good as the share of right answers that come first.
    """
    top = max(values)
    tied = [index for index, value in enumerate(values) if top - value < TIE]
    return min(tied, key=lambda index: seeded_hash(seed, "tie", id, texts[index])), len(tied) > 1


def near_tie(values: Sequence[float]) -> bool:
    """Whether the two highest of some values are so close that batching may turn their order round."""
    ordered = sorted(values, reverse=True)
    return len(ordered) > 1 and ordered[0] - ordered[1] < NEAR_TIE


@dataclass(frozen=True)
class Cut:
    """What had to go because the text was longer than the context: tokens of passages, and whole shots."""

    tokens: int = 0
    shots: int = 0


NOTHING_CUT = Cut()


@dataclass(frozen=True)
class LogLikelihood:
    """How likely is ``continuation`` after ``prompt``?

    What is predicted begins at the boundary, before the first token that holds any of the continuation; white space at
    the prompt's end belongs to the continuation.

    beside:
        the continuations that it will be compared with. All of them have the same boundary, the earliest among them,
        and the same prompt: one that is too long is cut for the longest. Without any, the boundary is its own.
    without_prompt:
        how likely the same tokens are when nothing comes before them, instead.
    """

    prompt: Prompt
    continuation: str
    beside: tuple[str, ...] = ()
    without_prompt: bool = False


@dataclass(frozen=True)
class LogLikelihoodReply:
    """``logprob`` in nats, summed over the predicted ``tokens``; ``greedy`` if each was the most likely one.

    bytes:
        the UTF-8 bytes of the predicted text: the continuation, with what comes before it from the boundary on.
    """

    logprob: float
    tokens: int
    greedy: bool
    cut: Cut = NOTHING_CUT
    bytes: int = 0


@dataclass(frozen=True)
class Rolling:
    """How likely is the whole text?

    A text longer than the context is read in windows, and every token is predicted once. A window predicts ``stride``
    tokens, with as many before them to read as fit; None: as many as fit, after the last token of the window before
    (the last window reads as much as fits, as in lm-evaluation-harness).
    """

    prompt: Prompt
    stride: int | None = None


@dataclass(frozen=True)
class RollingReply:
    """``logprob`` in nats over all ``tokens`` of the text, which is ``bytes`` long in UTF-8."""

    logprob: float
    tokens: int
    bytes: int


Span: TypeAlias = tuple[int, int]
"""(First character, character after the last) in a text."""

Pooling = Literal["last", "first", "mean", "max"]
"""How the states of several tokens become one vector."""


@dataclass(frozen=True)
class Readout:
    """What does the head's own ``module`` compute from hidden states of the prompt?

    at:
        ``last``: from the state of the prompt's last token. ``passage``: from the state of each token of its passage,
        and then of the last token. Spans, each (first character, character after the last) in the passage: from one
        vector for each span, made of the states of its tokens. Pairs of spans: from the vectors of both, one after the
        other. Except for ``last``, the prompt has one passage, and must fit the context.
    layer:
        which hidden states, as transformers numbers them: 0 are the embeddings, k those after block k, -1 the last
        ones, after the final normalisation, which the LM head reads.
    pooling:
        how the states of a span become one vector: that of the last or the first token, the mean or the maximum. With
        ``passage`` the tokens of the passage become one vector, instead of one each and the last token. None takes
        the last token of a span, and pools nothing else.

    Raises ValueError for spans that are empty or begin before 0, for a mixture of spans and pairs, and for a pooling of
    the last token.
    """

    prompt: Prompt
    module: str
    at: Literal["last", "passage"] | tuple[Span, ...] | tuple[tuple[Span, Span], ...] = "last"
    layer: int = -1
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        if self.at == "last" and self.pooling is not None:
            raise ValueError(f"pooling: got {self.pooling!r} with at 'last', which is one token; leave it out")
        if isinstance(self.at, str):
            return
        groups = self.spans
        if not groups or len({len(group) for group in groups}) != 1:
            raise ValueError(f"at: got {self.at!r}, expected one or more spans, or one or more pairs of spans")
        for first, end in (span for group in groups for span in group):
            if not 0 <= first < end:
                raise ValueError(f"at: got the span ({first}, {end}), expected 0 <= first character < end")

    @property
    def spans(self) -> list[tuple[Span, ...]]:
        """The spans of each vector that the module reads, one or two; empty for ``last`` and ``passage``."""
        if isinstance(self.at, str):
            return []
        return [(one,) if isinstance(one[0], int) else one for one in self.at]


@dataclass(frozen=True)
class ReadoutReply:
    """The module's outputs, as floats, one vector that it read after another.

    places:
        where each token of the passage is in it, as (first character, character after the last), for ``at`` "passage".
    """

    values: tuple[float, ...]
    cut: Cut = NOTHING_CUT
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Generate:
    """What text follows the prompt?

    Generation begins after the prompt without its trailing white space, which is removed once from the beginning of the
    text: a prompt ``Answer: `` gets the same text as ``Answer:``, without the space.

    max_tokens:
        the most tokens of it; the prompt is cut so that they fit.
    stop:
        texts before which it ends, whichever comes first.
    temperature:
        0 always takes the likeliest token; above, tokens are drawn, from the ``top_k`` likeliest (None: all) and then
        from the fewest that hold ``top_p`` of the probability.
    seed:
        of the draws; each request has its own, so that no text depends on what else is asked.
    beams:
        above 1, a beam search with this many beams, ranked by log-probability / length ** ``length_penalty``.
    keep_space:
        whether trailing white space stays with the prompt instead, and generation begins after it.

    Raises ValueError for ``max_tokens`` below 1.
    """

    prompt: Prompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    keep_space: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, expected 1 or more")


@dataclass(frozen=True)
class GenerateReply:
    """The text, without what ended it.

    finish:
        ``end``: the model's end token; ``stop``: a stop text; ``length``: neither came within ``max_tokens``.
    logprob:
        in nats, of all ``tokens`` that were generated, whatever the temperature; those of the ending are among them.
    near_tie:
        whether another token came so close to the likeliest, somewhere, that beside other texts it might be taken.
    """

    text: str
    tokens: int
    finish: Literal["end", "stop", "length"]
    logprob: float
    cut: Cut = NOTHING_CUT
    near_tie: bool = False


Request: TypeAlias = "LogLikelihood | Rolling | Readout | Generate"
Reply: TypeAlias = "LogLikelihoodReply | RollingReply | ReadoutReply | GenerateReply"

REQUEST_CLASSES: frozenset[type] = frozenset({LogLikelihood, Rolling, Readout, Generate})
"""All classes of requests."""


class Engine(Protocol):
    """Answers requests; local models, scripted ones and API clients alike."""

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """One reply a request, in the order of the requests.

        ``advance(requests, tokens)`` is called as they are done, with the number of requests and of useful tokens.
        """
        ...
