"""The one place where a prompt and its continuation become token ids, for training, ranking and generation alike."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Protocol

from ..errors import DataError
from ..example import Media, Part, Prompt
from ..requests import NOTHING_CUT, Cut

JOIN_SLACK = 8
"""An allowance for the words at a join, which may become other tokens together than apart; closer to the context than
that, the widest row is tokenised too."""


class Tokenizer(Protocol):
    """What joining needs of a tokenizer."""

    starts_with: tuple[int, ...]
    """The ids every row begins with: the BOS token where the tokenizer adds one by itself, else nothing."""
    fallback_start: int | None
    """What a continuation without any context is conditioned on: BOS or end-of-text."""

    def encode(self, text: str) -> list[int]:
        """The ids of ``text`` alone, without special tokens."""
        ...

    def media_ids(self, media: Media) -> list[int]:
        """The negative ids that stand for an audio or image. Raises DataError if there is no encoder for it."""
        ...

    def token_ends(self, text: str) -> list[int]:
        """Where the tokens of ``text`` end, as numbers of characters, ascending and without repetition."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of ``encode(text)`` stands: (first character, character after the last)."""
        ...

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each id on its own, to show where tokens begin and end."""
        ...

    def __hash__(self) -> int:
        """Tokenizers are told apart by identity: what was cut for one is remembered under it."""
        ...


@dataclass(frozen=True)
class Joined:
    """Token ids and where the continuation begins in them.

    boundary:
        the index of the first continuation token, at least 1 if there is a continuation; ``len(ids)`` without one.
    moved:
        whether a token spans prompt and continuation, so that the boundary lies before the end of the prompt's text.
    """

    ids: list[int]
    boundary: int
    moved: bool = False
    cut: Cut = NOTHING_CUT


def join(tokenizer: Tokenizer, prompt: Prompt, continuation: str, context: int, beside: Sequence[str] = ()) -> Joined:
    """Ids of ``prompt`` followed by ``continuation``, at most ``context`` of them.

    The boundary is the end of the longest common token prefix of the whole and of the prompt alone; a non-empty
    continuation always has at least one token. If the whole is too long, shots are dropped whole, the first one first,
    then the longest passage is cut at its end, after a whole token. ``beside`` are other continuations that will be
    compared with this one: the prompt is cut for the longest of all, so that each is seen after the same text.

    Raises DataError if it does not fit even so.
    """
    widest = max((continuation, *beside), key=lambda text: len(tokenizer.encode(text)))
    joined = _join_parts(tokenizer, prompt, continuation)
    wider = len(tokenizer.encode(widest)) - len(tokenizer.encode(continuation))
    if len(joined.ids) + wider + JOIN_SLACK <= context:
        return joined  # most rows: nothing has to be tokenised again
    prompt, cut = _fit(tokenizer, prompt, widest, context)
    if widest != continuation:  # fits already, unless a token spans its join
        prompt, more = _fit(tokenizer, prompt, continuation, context)
        cut = Cut(cut.tokens + more.tokens, cut.shots + more.shots)
    return replace(_join_parts(tokenizer, prompt, continuation), cut=cut)


def join_to_write(tokenizer: Tokenizer, prompt: Prompt, max_tokens: int, context: int) -> Joined:
    """The prompt alone, cut so that ``max_tokens`` fit behind it. Raises DataError if that leaves no room for it."""
    if max_tokens >= context:
        raise DataError(
            f"max_tokens is {max_tokens}, which leaves no room for a prompt in {context} tokens",
            hint="lower max_tokens",
        )
    return join(tokenizer, prompt, "", context - max_tokens)


def windows(
    tokenizer: Tokenizer,
    text: str,
    context: int,
    end: Sequence[int] = (),
    stride: int | None = None,
    fill_last: bool = False,
) -> Iterator[tuple[array[int], int]]:
    """Rows of at most ``context`` ids, each with the place from which its tokens are predicted.

    Every token of ``text``, and then of ``end``, is predicted once. The first row begins as the tokenizer begins one.
    A later one predicts ``stride`` tokens, with as many before them as fit; None: as many as fit after the last token
    of the row before it. With ``fill_last`` the last row has as many tokens before those that it predicts as fit.
    """
    start = tokenizer.starts_with
    if not start and tokenizer.fallback_start is not None:
        start = (tokenizer.fallback_start,)
    ids = array("i", (*start, *tokenizer.encode(text), *end))
    new = min(stride or context - 1, context - 1)
    done = 1
    while done < len(ids):
        last = min(done + (new if done > 1 else context - 1), len(ids))
        first = max(0, last - context) if stride or (fill_last and last == len(ids)) else done - 1
        yield ids[first:last], done - first
        done = last


@dataclass(frozen=True)
class PassageRow:
    """A prompt as token ids, and where its passage is.

    tokens:
        the indices in ``ids`` of the passage's tokens; places: where each stands in the passage, in characters.
    """

    ids: list[int]
    tokens: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


def place_passage(tokenizer: Tokenizer, prompt: Prompt, context: int) -> PassageRow:
    """The row of a prompt with one passage, which must fit. Raises DataError if it has none or several, or is too long.

    A token that also holds a character beside the passage counts as the passage's.
    """
    if any(part.media for part in prompt):
        raise DataError("spans are found in text, and the prompt has audio or images", hint="use another head")
    passages = [index for index, part in enumerate(prompt) if part.kind == "passage"]
    if len(passages) != 1:
        raise DataError(
            f"the prompt has {len(passages)} passages, wanted one", hint="mark one column: {{ context | passage }}"
        )
    before, passage, after = prompt[: passages[0]], prompt[passages[0]], prompt[passages[0] + 1 :]
    begin = len(_text(before))
    finish = begin + len(passage.text)
    text = _text((*before, passage, *after))
    ids = [*tokenizer.starts_with, *tokenizer.encode(text)]
    if len(ids) > context:
        raise DataError(f"the prompt has {len(ids)} tokens, but the context holds {context}")
    offsets = tokenizer.offsets(text)
    inside = [index for index, (start, end) in enumerate(offsets) if max(start, begin) < min(end, finish)]
    skip = len(tokenizer.starts_with)
    places = tuple((max(offsets[i][0], begin) - begin, min(offsets[i][1], finish) - begin) for i in inside)
    return PassageRow(ids, tuple(i + skip for i in inside), places)


def _fit(tokenizer: Tokenizer, prompt: Prompt, continuation: str, context: int) -> tuple[Prompt, Cut]:
    """The prompt, shortened until it and the continuation fit, and what had to go."""
    if len(_join_parts(tokenizer, prompt, continuation).ids) <= context:
        return prompt, NOTHING_CUT
    return _shorten(tokenizer, prompt, continuation, context)


@lru_cache(maxsize=256)  # all options of an example ask for the same
def _shorten(tokenizer: Tokenizer, prompt: Prompt, continuation: str, context: int) -> tuple[Prompt, Cut]:
    tokens = full = len(_join_parts(tokenizer, prompt, continuation).ids)
    dropped = 0
    while tokens > context and (prompt_without := _without_first_shot(prompt)) is not None:
        prompt, dropped = prompt_without, dropped + 1
        # dropped shots are counted as shots, not as tokens
        tokens = full = len(_join_parts(tokenizer, prompt, continuation).ids)
    while tokens > context:
        shorter = _cut_longest_passage(tokenizer, prompt, continuation, context)
        if shorter is None:
            raise DataError(
                f"the text has {tokens} tokens without its passages, but the context holds {context}",
                hint="shorten it, mark long text as {{ column | passage }}, or use a larger context",
            )
        prompt = shorter
        tokens = len(_join_parts(tokenizer, prompt, continuation).ids)
    return prompt, Cut(tokens=full - tokens, shots=dropped)


def _text(prompt: Prompt) -> str:
    return "".join(part.text for part in prompt)


def _join_parts(tokenizer: Tokenizer, prompt: Prompt, continuation: str) -> Joined:
    """The text after the last audio or image is joined with the continuation; what stands before it is apart anyway."""
    last = max((index for index, part in enumerate(prompt) if part.media), default=-1)
    start = list(tokenizer.starts_with)
    for with_media, parts in groupby(prompt[: last + 1], key=lambda part: part.media is not None):
        if with_media:
            start += [id for part in parts if part.media for id in tokenizer.media_ids(part.media)]
        else:
            start += tokenizer.encode(_text(tuple(parts)))
    return _join_text(tokenizer, start, _text(prompt[last + 1 :]), continuation)


def _join_text(tokenizer: Tokenizer, start: list[int], text: str, continuation: str) -> Joined:
    before = tokenizer.encode(text) if text else []
    if not continuation:
        ids = start + before
        if not ids:
            ids = [_start_token(tokenizer)]
        return Joined(ids, len(ids))
    whole = tokenizer.encode(text + continuation)
    if not whole:
        raise DataError(f"the continuation {continuation!r} has no tokens", hint="give an answer with visible text")
    common = 0
    for left, right in zip(before, whole, strict=False):
        if left != right:
            break
        common += 1
    boundary = min(common, len(whole) - 1)
    if not start and boundary == 0:
        start = [_start_token(tokenizer)]
    return Joined(start + whole, len(start) + boundary, moved=boundary < len(before))


def _start_token(tokenizer: Tokenizer) -> int:
    if tokenizer.fallback_start is None:
        raise DataError("there is no context before the text, and the tokenizer has neither a BOS nor an end token")
    return tokenizer.fallback_start


def _without_first_shot(prompt: Prompt) -> Prompt | None:
    for index, part in enumerate(prompt):
        if part.kind == "shot":
            return prompt[:index] + prompt[index + 1 :]
    return None


def _cut_longest_passage(tokenizer: Tokenizer, prompt: Prompt, continuation: str, context: int) -> Prompt | None:
    """The prompt with as much of its longest passage as fits; None if no passage has any text left."""
    passages = [index for index, part in enumerate(prompt) if part.kind == "passage" and part.text]
    if not passages:
        return None
    index = max(passages, key=lambda place: len(prompt[place].text))
    text = prompt[index].text
    ends = [0, *tokenizer.token_ends(text)]

    def cut_to(end: int) -> Prompt:
        return (*prompt[:index], Part(text[: ends[end]], "passage"), *prompt[index + 1 :])

    def tokens_at(end: int) -> int:
        return len(_join_parts(tokenizer, cut_to(end), continuation).ids)

    last = len(ends) - 1
    excess = tokens_at(last) - context
    return cut_to(_last_that_fits(lambda end: tokens_at(end) <= context, last, last - excess))


def _last_that_fits(fits: Callable[[int], bool], too_many: int, guess: int) -> int:
    """The largest number below ``too_many`` that fits, or one that does while the next does not; 0 if none does.

    Looks near ``guess`` first, then in ever larger steps, then halves what is left.
    """
    fitting, step = 0, 1
    at = min(max(guess, 1), too_many - 1)
    while too_many - fitting > 1:
        if fits(at):
            fitting, at = at, at + step
        else:
            too_many, at = at, at - step
        step *= 2
        if not fitting < at < too_many:
            at = (fitting + too_many) // 2
    return fitting
