"""Examples that the backbone cannot read, such as those that do not fit its context even after passages and shots are
cut. They are refused, or those that do not fit are skipped, as the recipe says.

A skipped example gets the worst value of each metric if it is scored, and is not used for training or tuning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from ..errors import DataError, Problem, TooLong
from ..example import Example
from ..heads.base import Head
from ..progress import Progress
from ..requests import Generate, LogLikelihood, Readout, Request, Rolling
from ..tokens.spelt_tokens import FIRST_MARK
from .find_row import placed_problem

if TYPE_CHECKING:
    from .parts import RunParts

SPECIAL_TOKENS = 16
"""An upper bound for the tokens that a head adds to the text: a start, an end, a separator."""

Refused: TypeAlias = "Sequence[tuple[Example, DataError]]"
"""Examples of which no rows of tokens can be made, and why: TooLong for those that do not fit the context."""

_RESERVED = re.compile(f"[{chr(FIRST_MARK)}-\U0010ffff]")


def check_lengths(parts: RunParts) -> None:
    """Find the examples of which the head, which has a backbone, cannot make requests; see :func:`refuse_or_skip`.

    Training examples are checked when they become items.
    """
    refuse_or_skip(parts, refused_to_ask(parts))


def refused_to_ask(parts: RunParts) -> dict[str, Refused]:
    """By role, the refused examples among those that become requests. The head has a backbone."""
    shown = not parts.rows
    return {
        role: list(refused_requests(parts.head, parts.sets[role].examples, shown=shown)) for role in asked_roles(parts)
    }


def refused_to_train(parts: RunParts) -> Refused:
    """The refused training examples. The head has a backbone."""
    head, examples = parts.head, parts.sets["train"].examples
    doubtful = [examples[place] for place in doubtful_to_train(head, examples)]
    return list(refused_examples(doubtful, lambda example: sum(item.tokens for item in head.items(example))))


def asked_roles(parts: RunParts) -> list[str]:
    """The keys of the sets whose examples become requests: for scoring, validation or tuning."""
    train = parts.recipe.train if parts.adaptation.trains else None
    roles = [parts.scored_role]
    if train is not None and (train.validate_ is not None or parts.head.tunes):
        roles.append("validation")
    if parts.tunes_without_training:
        roles.append("train")
    return list(dict.fromkeys(roles))


def refuse_or_skip(parts: RunParts, found: Mapping[str, Refused]) -> None:
    """Refuse the examples found in each role, or record the reasons in ``parts.too_long`` if the recipe skips them.

    Raises DataError with the count and the first example of each role, and if no example of a role is left.
    """
    problems: list[Problem] = []
    for role, refused in found.items():
        skips = parts.recipe.data.too_long == "skip"
        long = [(example, error.problems[0]) for example, error in refused if isinstance(error, TooLong)]
        others = [(example, error) for example, error in refused if not isinstance(error, TooLong)]
        if others:
            problems.append(_refusal(parts, role, others))
        if long and not skips:
            count = f"{_share(parts, role, long)} do not fit the context; the first: "
            count = "the row does not fit the context: " if parts.rows else count
            problems.append(placed(parts, role, *long[0], count))
        elif long:
            parts.too_long.setdefault(role, {}).update({example.id: problem.message for example, problem in long})
            _refuse_nothing_left(parts, role)
    if problems:
        raise DataError(problems)


def _refusal(parts: RunParts, role: str, refused: Refused) -> Problem:
    """The number of examples that cannot be used for another reason than their length, and the first of them."""
    example, error = refused[0]
    problem = error.problems[0]
    if problem.key is not None:
        return problem
    what = f"{_share(parts, role, refused)} cannot be used with this backbone; the first: "
    what = "the row cannot be used with this backbone: " if parts.rows else what
    return placed_problem(parts, parts.sets[role], example, problem, what)


def _refuse_nothing_left(parts: RunParts, role: str) -> None:
    """Raises DataError if no example of a role fits."""
    skipped, examples = parts.too_long.get(role, {}), parts.sets[role].examples
    if skipped and len(skipped) == len(examples):
        reason = skipped[examples[0].id]
        raise DataError(f"none of the {len(examples):,} examples of {role} fits the context; the first: {reason}")


def _share(parts: RunParts, role: str, some: Sequence[object]) -> str:
    return f"{len(some):,} of {len(parts.sets[role].examples):,} examples of {role}"


def refused_requests(
    head: Head, examples: Sequence[Example], *, shown: bool = True
) -> Iterator[tuple[Example, DataError]]:
    """The examples with a request of which no rows can be made, and why. The head has a backbone.

    ``shown``: whether the progress is shown.
    """
    doubtful = [example for example in examples if not _surely_read(head, example)]
    yield from refused_examples(
        doubtful,
        lambda example: sum(len(row.ids) for request in head.requests(example) for row in head.rows(request)),
        shown=shown,
    )


def refused_examples(
    examples: Sequence[Example], tokens_of: Callable[[Example], int], *, shown: bool = True
) -> Iterator[tuple[Example, DataError]]:
    """The examples for which ``tokens_of``, which makes their rows and returns the number of tokens, fails."""
    if not examples:
        return
    with Progress("checking lengths", len(examples), "examples", shown=shown) as progress:
        for example in examples:
            tokens = 0
            try:
                tokens = tokens_of(example)
            except DataError as error:
                yield example, error
            progress.advance(1, tokens)


def _surely_read(head: Head, example: Example) -> bool:
    if head.backbone.tokenizer.fallback_start is None:
        return False  # a token must come before what is predicted, and it may be missing
    try:
        return all(surely_read(request, head.backbone.context) for request in _different(head.requests(example)))
    except DataError:
        return False


def _different(requests: Sequence[Request]) -> Iterator[Request]:
    """The requests, of those with the same prompt and the same compared continuations only one.

    Each of them would be checked with all the continuations, which takes the square of their number.
    """
    texts_of: dict[int, frozenset[str]] = {}  # by the identity of the tuple: to hash it takes as long as to check it
    done: set[tuple[int, int]] = set()
    for request in requests:
        if isinstance(request, LogLikelihood) and len(request.beside) > 1:
            beside = id(request.beside)
            if beside not in texts_of:
                texts_of[beside] = frozenset(request.beside)
            if request.continuation in texts_of[beside]:
                if (id(request.prompt), beside) in done:
                    continue
                done.add((id(request.prompt), beside))
        yield request


def surely_read(request: Request, context: int) -> bool:
    """Whether a request surely becomes rows that fit, without tokenising it: a token has at least one byte, and
    passages are cut. Not sure are media, blank text to predict, and passages and spans that are read themselves.
    """
    texts = [part.text for part in request.prompt]
    predicted = (request.continuation, *request.beside) if isinstance(request, LogLikelihood) else ()
    if any(part.media for part in request.prompt) or not all(text.strip() for text in predicted):
        return False
    if _RESERVED.search("".join((*texts, *predicted))):
        return False
    if isinstance(request, Rolling):
        return True  # in windows
    whole = isinstance(request, Readout) and request.at != "last"
    if whole and not _reads_one_passage(request):
        return False
    size = sum(_bytes(part.text) for part in request.prompt if whole or part.kind == "fixed")
    size += max(map(_bytes, predicted), default=0)
    if isinstance(request, Generate):
        size += request.max_tokens
    return size + SPECIAL_TOKENS <= context


def _reads_one_passage(request: Request) -> bool:
    """Whether a readout of a passage surely finds its tokens; spans may contain none."""
    passages = [part.text for part in request.prompt if part.kind == "passage"]
    return isinstance(request, Readout) and not request.spans and len(passages) == 1 and bool(passages[0].strip())


def doubtful_to_train(head: Head, examples: Sequence[Example]) -> list[int]:
    """The places of the examples whose items may be refused, which only making them shows. The head has a backbone.

    All examples are doubtful for a head that may make several items of one.
    """
    try:
        reserved = reserved_tokens(head.requests(examples[0])) if head.one_item and examples else None
    except DataError:
        reserved = None
    if reserved is None or head.backbone.tokenizer.fallback_start is None:
        return [*range(len(examples))]
    context = head.backbone.context
    return [place for place, one in enumerate(examples) if may_be_refused(one, context, reserved)]


def may_be_refused(example: Example, context: int, reserved: int = 0) -> bool:
    """Whether an example's training item may not fit even after passages are cut, or may have nothing to predict.

    ``reserved`` is the number of tokens that its head keeps for an answer.
    """
    target = () if example.target is None else (example.target,)
    answers = (*example.choices, *example.references, *target)
    prompts = example.contexts or (example.prompt,)
    parts = [part for prompt in prompts for part in prompt]
    if any(part.media for part in parts) or not all(text.strip() for text in answers):
        return True
    if _RESERVED.search("".join((*(part.text for part in parts), *answers))):
        return True
    longest = max(sum(_bytes(part.text) for part in prompt if part.kind == "fixed") for prompt in prompts)
    return longest + max((reserved, *map(_bytes, answers))) + SPECIAL_TOKENS > context


def reserved_tokens(requests: Sequence[Request]) -> int:
    """The number of tokens that requests keep for an answer."""
    return max((request.max_tokens for request in requests if isinstance(request, Generate)), default=0)


def skip(parts: RunParts, role: str, example: Example, problem: Problem) -> None:
    """Record that an example does not fit. Raises DataError with its place unless the recipe skips such examples."""
    if parts.recipe.data.too_long == "error":
        raise DataError(placed(parts, role, example, problem, f"{parts.sets[role].split}: "))
    parts.too_long.setdefault(role, {})[example.id] = problem.message


def placed(parts: RunParts, role: str, example: Example, problem: Problem, prefix: str) -> Problem:
    """The problem with the example's row and id, and with what to do; ``prefix`` comes before the message."""
    if not parts.rows:  # new rows are answered or refused
        hints = [problem.hint] if problem.hint else []
        problem = replace(problem, hint="; ".join([*hints, "task.data.too_long=skip leaves such examples out"]))
    return placed_problem(parts, parts.sets[role], example, problem, prefix)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
