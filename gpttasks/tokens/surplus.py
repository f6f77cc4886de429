"""Parts far beyond the context: most of such a text is left out before the prompt is tokenised.

A text of 18 MB would take gigabytes as tokens, of which the context has room for some hundreds.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from ..errors import BackboneError, TooLong
from ..example import Part, Prompt
from ..requests import NOTHING_CUT, Cut
from .marked_text import MarkedText, text_of
from .tokenizer import Tokenizer

SHORTEN = "shorten the text, mark a long part as {{ column | passage }}, or use a larger context"
LEAST = 20_000
"""The number of characters up to which a part is never shortened here."""
PER_TOKEN = 8
"""The number of characters for each token of the context with which the search for a sufficient piece begins."""
MARGIN = 64
"""More tokens than a cut passage can keep, at its border to what follows."""
STEP = 100_000
"""The number of characters that are tokenised at a time to count the tokens of a long text."""
OVERLAP = 1_000
"""The number of characters before each step that are tokenised with it, so that its tokens are those of the text."""


def without_surplus(tokenizer: Tokenizer, prompt: Prompt, context: int) -> tuple[Prompt, Cut]:
    """The prompt with only a piece of each passage and shot that is much too long, and what this cuts.

    A piece has more tokens than the context, so the prompt has to be cut further, or its shots dropped, as the whole
    text would have to be. Tokens of shots are not counted: they will be dropped. Where tokens cross the ends of a
    passage, the number of cut tokens may differ by a few from that of the whole row, and of several cuts that fit,
    another one may be found.

    Raises TooLong if a part that cannot be cut is much too long.
    """
    if all(len(part.text) <= LEAST for part in prompt):
        return prompt, NOTHING_CUT
    tokens, at_start = 0, 0
    for index, part in enumerate(prompt):
        size = len(part.text) if part.media else _sufficient(tokenizer, part, context)
        if size == len(part.text):
            continue
        if part.kind == "fixed":
            message = f"a part of the text has {_count(tokenizer, text_of((part,)))} tokens"
            raise TooLong(f"{message}, but the context has room for {context}", hint=SHORTEN)
        shorter = (*prompt[:index], _piece(part, size), *prompt[index + 1 :])
        if part.kind == "passage":
            removed = max(0, _count_all(tokenizer, prompt) - _count_all(tokenizer, shorter))
            tokens += removed
            at_start += removed if part.keep == "end" else 0
        prompt = shorter
    return prompt, Cut(tokens, 0, at_start)


@lru_cache(maxsize=4)
def _sufficient(tokenizer: Tokenizer, part: Part, context: int) -> int:
    """The characters of a piece that is sufficient to find the tokens that the context has room for.

    It has more than twice as many tokens, and they are at the same places in a piece that is twice as long. The whole
    length if no shorter piece is sufficient, or the tokenizer does not know the places of tokens.
    """
    try:
        tokenizer.offsets("a")
    except BackboneError:
        return len(part.text)
    needed, size = 2 * context + MARGIN, max(LEAST, PER_TOKEN * context)
    while 2 * size < len(part.text):
        places = _places(tokenizer, part, size, needed)
        if places is not None and places == _places(tokenizer, part, 2 * size, needed):
            return _to_visible(part, size)
        size *= 2
    return len(part.text)


def _to_visible(part: Part, size: int) -> int:
    """The size or a larger one at which a piece does not end in white space, which some rows leave out."""
    while size < len(part.text) and part.text[-size if part.keep == "end" else size - 1].isspace():
        size += 1
    return size


def _places(tokenizer: Tokenizer, part: Part, size: int, needed: int) -> list[int] | None:
    """Where the first tokens of a piece end, or where its last tokens begin, from its end; None if it has too few."""
    piece = _piece(part, size)
    ends = tokenizer.token_ends(piece.text, piece.special)
    if len(ends) <= needed:
        return None
    return [end - size for end in ends[-needed - 1 :]] if part.keep == "end" else ends[:needed]


def _piece(part: Part, size: int) -> Part:
    """The first characters of a part, or its last ones if its end is to be kept."""
    length = len(part.text)
    return part.piece(length - size, length) if part.keep == "end" else part.piece(0, size)


def _count_all(tokenizer: Tokenizer, prompt: Prompt) -> int:
    """The number of tokens of a prompt's texts without its shots, each with what comes before and after it."""
    runs = groupby((part for part in prompt if part.kind != "shot"), key=lambda part: part.media is not None)
    return sum(_count(tokenizer, text_of(tuple(parts))) for is_media, parts in runs if not is_media)


@lru_cache(maxsize=4)
def _count(tokenizer: Tokenizer, marked: MarkedText) -> int:
    """The number of tokens of a text, some of which is tokenised at a time."""
    whole = Part(marked.text, special=marked.special)
    total, done = 0, 0
    while done < len(whole.text):
        start, end = max(0, done - OVERLAP), done + STEP
        both, before = whole.piece(start, end), whole.piece(start, done)
        total += len(tokenizer.encode(both.text, both.special))
        total -= len(tokenizer.encode(before.text, before.special)) if done else 0
        done = end
    return total
