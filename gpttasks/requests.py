"""The requests that heads make, and the replies of an engine.

A request is complete in itself, and no reply depends on another request. An engine may therefore reorder, batch, share
and cache requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from .example import Prompt, Spans
from .hashing import seeded_hash

NEAR_TIE = 2e-4
"""The margin between the two highest values below which batching may swap them; such near ties are reported."""


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
    """Whether the two highest values are so close that batching may swap them."""
    ordered = sorted(values, reverse=True)
    return len(ordered) > 1 and ordered[0] - ordered[1] < NEAR_TIE


@dataclass(frozen=True)
class Cut:
    """What was cut because the text was longer than the context: tokens of passages, and whole shots.

    at_start: those of the tokens that were cut at the start of a passage, whose end is kept.
    """

    tokens: int = 0
    shots: int = 0
    at_start: int = 0


NOTHING_CUT = Cut()


@dataclass(frozen=True)
class LogLikelihood:
    """How likely is ``continuation`` after ``prompt``?

    Prediction begins at the boundary, before the first token that contains any of the continuation. White space at the
    prompt's end belongs to the continuation.

    beside:
        the continuations that this one is compared with. All have the same boundary, the earliest among them, and the
        same prompt, cut so that the longest continuation fits. If empty, only this continuation sets the boundary.
    preferred:
        whether the reply has to say what the model preferred.
    prompts:
        the prompts that this one is compared with, if they differ: all keep the same number of shots.
    without_prompt:
        ask instead how likely the same tokens are with nothing before them.
    special:
        the spans of the continuations in which the text of a special token becomes that token; see
        :class:`~gpttasks.Part`.
    """

    prompt: Prompt
    continuation: str
    beside: tuple[str, ...] = ()
    without_prompt: bool = False
    special: Spans = ()
    prompts: tuple[Prompt, ...] = ()
    preferred: bool = False


@dataclass(frozen=True)
class LogLikelihoodReply:
    """``logprob`` in nats, summed over the predicted ``tokens``; ``greedy`` if each was the most likely one.

    bytes:
        the number of UTF-8 bytes in the predicted text: from the boundary to the end of the continuation.
    preferred:
        the predicted text up to its first token that was not the most likely one, with the most likely token in the
        place of that one; the whole predicted text if ``greedy``. None if the request does not ask for it, or the
        backbone cannot tell.
    """

    logprob: float
    tokens: int
    greedy: bool
    cut: Cut = NOTHING_CUT
    bytes: int = 0
    preferred: str | None = None


@dataclass(frozen=True)
class Rolling:
    """How likely is the whole text?

    A text longer than the context is processed in windows, and every token is predicted once. A window predicts
    ``stride`` tokens, preceded by as many as fit. If ``stride`` is None, a window predicts as many tokens as fit after
    the last token of the previous window; the last window is filled with preceding tokens, as in lm-evaluation-harness.
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
    """What does the head's ``module`` compute from hidden states of the prompt?

    at:
        the input of the module. ``last``: the state of the prompt's last token. ``passage``: the state of each token of
        the passage, then of the last token. Spans, each (first character, character after the last) in the passage: one
        vector per span, pooled from the states of its tokens. Pairs of spans: the vectors of both, concatenated. Except
        for ``last``, the prompt must have one passage and fit the context.
    layer:
        the layer of the hidden states, as transformers numbers them: 0 are the embeddings, k the states after block k,
        and -1 the last states, after the final normalisation, which the LM head reads.
    pooling:
        how the states of a span become one vector: the state of the last or the first token, the mean or the maximum.
        With ``passage``, the tokens of the passage become one vector, and the last token is not read. None takes the
        last token of a span, and pools nothing else.

    Raises ValueError for spans that are empty or begin before 0, for a mixture of spans and pairs, and for ``pooling``
    with ``last``.
    """

    prompt: Prompt
    module: str
    at: Literal["last", "passage"] | tuple[Span, ...] | tuple[tuple[Span, Span], ...] = "last"
    layer: int = -1
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        if self.at == "last" and self.pooling is not None:
            raise ValueError(f"pooling: got {self.pooling!r} with at='last', which is a single token; leave it out")
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
        """The one or two spans of each vector that the module reads; empty for ``last`` and ``passage``."""
        if isinstance(self.at, str):
            return []
        return [(one,) if isinstance(one[0], int) else one for one in self.at]


@dataclass(frozen=True)
class ReadoutReply:
    """The module's outputs as floats, those for one vector after another.

    places:
        for ``at="passage"``, the place of each token in the passage, as (first character, character after the last).
    """

    values: tuple[float, ...]
    cut: Cut = NOTHING_CUT
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Generate:
    """Which text follows the prompt?

    Generation begins after the prompt without its trailing white space. This white space is then removed once from the
    beginning of the text: a prompt ``Answer: `` gets the same text as ``Answer:``, without the space.

    max_tokens:
        the maximum number of generated tokens; the prompt is cut so that they fit.
    stop:
        the text ends before the first of these texts in it, but white space and ``separator`` at its beginning never
        end it. The text of a special token, alone or within a stop text, stands for that token.
    temperature:
        0 always takes the likeliest token. Above 0, tokens are drawn from the ``top_k`` likeliest (None: all) and,
        among these, from the fewest whose probabilities add up to ``top_p``.
    seed:
        the seed of the draws; one per request, so that no text depends on the other requests.
    beams:
        above 1, a beam search with this many beams, ranked by log-probability / length ** ``length_penalty``.
    keep_space:
        whether trailing white space stays with the prompt, so that generation begins after it; stop texts then end the
        text even at its beginning.
    separator:
        text that the model may write before the answer. It is removed and not searched for stop texts.

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
    separator: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, expected 1 or more")


@dataclass(frozen=True)
class GenerateReply:
    """The generated text, without the end token or stop text.

    finish:
        why it ended. ``end``: the model's end token; ``stop``: a stop text; ``length``: ``max_tokens`` came first.
    logprob:
        the log-probability in nats, at temperature 1, of all generated ``tokens``, including those of the ending.
    near_tie:
        whether, at some step, another token was so close to the likeliest that it might be taken in another batch.
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
    """Answers requests: a local model, a scripted one or an API client."""

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """One reply per request, in the order of the requests.

        ``advance(requests, tokens)`` is called as requests are done, with their number and their tokens without
        padding. An engine that generates texts together calls it at each step: ``advance(1, 1)`` for each text that
        ends, and ``advance(0, number)`` for the others; and it tells :class:`WatchesPrompts` when a batch begins.
        :class:`KeepsReplies` is given each reply as soon as it is final.
        """
        ...


@runtime_checkable
class WatchesPrompts(Protocol):
    """An ``advance`` that also wants to know when the prompts of a batch were read, to estimate the time left."""

    def __call__(self, requests: int, tokens: int, /) -> None:
        """See :meth:`Engine.answer`."""
        ...

    def prompts_read(self, tokens: int) -> None:
        """The prompts of a batch, of so many tokens, were read since the last call. Texts will now be generated."""
        ...


@runtime_checkable
class KeepsReplies(Protocol):
    """An ``advance`` that also wants each reply as soon as it is final, so that an interruption loses little work.

    An engine that does not report its replies is given fewer requests at a time.
    """

    def __call__(self, requests: int, tokens: int, /) -> None:
        """See :meth:`Engine.answer`."""
        ...

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """These replies are final; the keys are the indices of their requests among those given to ``answer``."""
        ...


def report_finished(advance: Callable[[int, int], None] | None, replies: Mapping[int, Reply]) -> None:
    """Give final replies to an ``advance`` that keeps them; see :class:`KeepsReplies`."""
    if replies and isinstance(advance, KeepsReplies):
        advance.finished(replies)


class PassedOn:
    """An ``advance`` that passes everything on to another one, if there is any; the base of those that do more."""

    def __init__(self, advance: Callable[[int, int], None] | None) -> None:
        self._advance = advance

    def __call__(self, requests: int, tokens: int, /) -> None:
        """See :meth:`Engine.answer`."""
        if self._advance is not None:
            self._advance(requests, tokens)

    def prompts_read(self, tokens: int) -> None:
        """See :class:`WatchesPrompts`."""
        if isinstance(self._advance, WatchesPrompts):
            self._advance.prompts_read(tokens)

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """See :class:`KeepsReplies`."""
        report_finished(self._advance, replies)
