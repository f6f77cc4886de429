"""Examples that do not fit the context even after passages and shots are cut: refused or skipped, as the recipe says.

A skipped example gets the worst value of each metric if it is scored, and is not used for training or tuning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DataError, Problem, TooLong
from ..example import Example
from ..heads.base import Head
from ..progress import Progress
from ..requests import Generate, LogLikelihood, Readout, Request, Rolling
from ..tasks.splits import ExampleSet
from ..tokens.rows import rows_of_request
from .find_row import placed_problem

if TYPE_CHECKING:
    from ..tokens.tokenizer import Tokenizer
    from .parts import RunParts

SPECIAL_TOKENS = 16
"""An upper bound for the tokens that a head adds to the text: a start, an end, a separator."""


@dataclass(frozen=True)
class Room:
    """The tokenizer and the context that rows have to fit."""

    tokenizer: Tokenizer
    context: int


def check_lengths(parts: RunParts) -> None:
    """Find the examples whose requests do not fit, and record the reasons in ``parts.too_long``.

    Raises DataError for the first such example unless the recipe skips them, and if no example of a set fits. Training
    examples are checked when they become items.
    """
    room = _room(parts)
    if room is None:
        return
    for role in asked_roles(parts):
        examples = parts.sets[role].examples
        for example, problem in over_long(parts.head, room, examples):
            skip(parts, role, example, problem)
        skipped = parts.too_long.get(role, {})
        if len(skipped) == len(examples):
            reason = skipped[examples[0].id]
            raise DataError(f"none of the {len(examples):,} examples of {role} fits the context; the first: {reason}")


def asked_roles(parts: RunParts) -> list[str]:
    """The keys of the sets whose examples become requests: for scoring, validation or tuning."""
    train = parts.recipe.train if parts.adaptation.trains else None
    roles = [parts.scored_role]
    if train is not None and (train.validate_ is not None or parts.head.tunes):
        roles.append("validation")
    if parts.tunes_without_training:
        roles.append("train")
    return list(dict.fromkeys(roles))


def over_long(head: Head, room: Room, examples: Sequence[Example]) -> Iterator[tuple[Example, Problem]]:
    """The examples with a request that does not fit, and why."""
    doubtful = [example for example in examples if not _surely_fits(head, room, example)]
    if not doubtful:
        return
    with Progress("checking lengths", len(doubtful), "examples") as progress:
        for example in doubtful:
            tokens = 0
            try:
                for request in head.requests(example):
                    tokens += sum(len(row.ids) for row in rows_of_request(room.tokenizer, request, room.context))
            except TooLong as error:
                yield example, error.problems[0]
            progress.advance(1, tokens)


def _surely_fits(head: Head, room: Room, example: Example) -> bool:
    try:
        return all(surely_fits(request, room.context) for request in head.requests(example))
    except TooLong:
        return False


def surely_fits(request: Request, context: int) -> bool:
    """Whether a request surely fits, without tokenising it: a token has at least one byte, and passages are cut."""
    if isinstance(request, Rolling):
        return True  # in windows
    if any(part.media for part in request.prompt):
        return False
    whole = isinstance(request, Readout) and request.at != "last"
    size = sum(_bytes(part.text) for part in request.prompt if whole or part.kind == "fixed")
    if isinstance(request, LogLikelihood):
        size += max(map(_bytes, (request.continuation, *request.beside)))
    elif isinstance(request, Generate):
        size += request.max_tokens
    return size + SPECIAL_TOKENS <= context


def may_be_too_long(example: Example, context: int, reserved: int = 0) -> bool:
    """Whether an example's training item may be too long even after passages are cut.

    ``reserved`` is the number of tokens that its head keeps for an answer.
    """
    if any(part.media for part in example.prompt):
        return True
    size = sum(_bytes(part.text) for part in example.prompt if part.kind == "fixed")
    answers = (*example.choices, *example.references, example.target or "")
    return size + max(reserved, *map(_bytes, answers)) + SPECIAL_TOKENS > context


def reserved_tokens(requests: Sequence[Request]) -> int:
    """The number of tokens that requests keep for an answer."""
    return max((request.max_tokens for request in requests if isinstance(request, Generate)), default=0)


@contextmanager
def skipping(parts: RunParts, role: str, example: Example) -> Iterator[None]:
    """If the example turns out to be too long, skip it or raise DataError, as the recipe says."""
    try:
        yield
    except TooLong as error:
        skip(parts, role, example, error.problems[0])


def skip(parts: RunParts, role: str, example: Example, problem: Problem) -> None:
    """Record that an example does not fit. Raises DataError with its place unless the recipe skips such examples."""
    if parts.recipe.data.too_long == "error":
        raise DataError(placed(parts, parts.sets[role], example, problem))
    parts.too_long.setdefault(role, {})[example.id] = problem.message


def placed(parts: RunParts, part: ExampleSet, example: Example, problem: Problem, prefix: str = "") -> Problem:
    """The problem with the example's split, row and id, and with what to do."""
    if not parts.rows:  # new rows are answered or refused
        hints = [problem.hint] if problem.hint else []
        problem = replace(problem, hint="; ".join([*hints, "data.too_long: skip leaves such examples out"]))
    return placed_problem(parts, part, example, problem, prefix or f"{part.split}: ")


def _room(parts: RunParts) -> Room | None:
    """What rows have to fit; None for a backbone that is its own engine and does not declare it."""
    backbone = parts.backbone
    tokenizer, context = getattr(backbone, "tokenizer", None), getattr(backbone, "context", None)
    return None if tokenizer is None or context is None else Room(tokenizer, context)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
