"""How many tokens a model will read and write to answer examples, counted before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..example import Example, prompt_text
from ..heads.base import Head
from ..requests import Generate, LogLikelihood, Request, Rolling
from .answering import with_their_shots

if TYPE_CHECKING:
    from .parts import RunParts

COUNTED_CHARACTERS = 500_000
"""With more characters of short texts than this, the tokens of a part of the examples are counted."""
MOST_RIGHT_ANSWERS = 1000
"""The number of right answers whose lengths are remembered."""


@dataclass(frozen=True)
class ExpectedReading:
    """The work of some requests.

    tokens:
        the tokens of all rows that are read, as if nothing were shared; a window of a long text counts with all of its
        tokens.
    windows:
        the number of windows of texts that are read in windows; 0 without such texts.
    written:
        the largest number of tokens that may be written.
    exact:
        whether all tokens were counted.
    right_answers:
        about how many tokens some of the right answers to generation requests have, end token included.
    """

    requests: int
    tokens: int
    windows: int
    written: int
    exact: bool
    right_answers: tuple[int, ...] = ()

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        windows = f" in {self.windows:,} windows" if self.windows else ""
        written = f", and at most {self.written:,} tokens to write" if self.written else ""
        return f"{about}{self.tokens:,} tokens to read{windows}{written}"


def expected_scoring(parts: RunParts) -> ExpectedReading:
    """The work of scoring the examples that are not skipped; the head has a backbone, or its tokenizer and context."""
    skipped = parts.too_long.get(parts.scored_role, {})
    return expect_reading(parts.head, with_their_shots(parts, [one for one in parts.scored if one.id not in skipped]))


def expect_reading(head: Head, examples: Sequence[Example]) -> ExpectedReading:
    """The work of asking the head about the examples, which have their shots.

    Texts that are read in windows are always encoded. Of many short texts, examples at equal distances are.
    """
    requests = [head.requests(example) for example in examples]
    windowed = [request for asked in requests for request in asked if isinstance(request, Rolling)]
    short = [[request for request in asked if not isinstance(request, Rolling)] for asked in requests]
    short = [asked for asked in short if asked]
    characters = [sum(map(_characters, asked)) for asked in short]
    step = max(1, min(len(short), -(-sum(characters) // COUNTED_CHARACTERS)))  # at least one example is encoded
    sample = range(step // 2, len(short), step)
    counted = sum(len(row.ids) for index in sample for request in short[index] for row in head.rows(request))
    share = sum(characters[index] for index in sample) / max(1, sum(characters))
    a_character = counted / max(1, sum(characters[index] for index in sample))  # in tokens
    most = sum(map(len, short)) * head.backbone.context  # what is longer will be cut
    rows = [len(row.ids) for request in windowed for row in head.rows(request)]
    return ExpectedReading(
        requests=sum(map(len, requests)),
        tokens=sum(rows) + min(round(counted / share if share else 0), most),
        windows=len(rows),
        written=sum(request.max_tokens for asked in short for request in asked if isinstance(request, Generate)),
        exact=step == 1,
        right_answers=tuple(
            1 + round(len(example.references[0]) * a_character)
            for example, asked in zip(examples, requests, strict=True)
            if example.references and any(isinstance(request, Generate) for request in asked)
        )[:MOST_RIGHT_ANSWERS],
    )


def _characters(request: Request) -> int:
    """The length of a request's text, at least 1."""
    continuation = request.continuation if isinstance(request, LogLikelihood) else ""
    return 1 + len(prompt_text(request.prompt)) + len(continuation)
