"""How many UTF-8 bytes of a text follow some of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import BackboneError
from .marked_text import MarkedText
from .tokenizer import Tokenizer


def bytes_after(tokenizer: Tokenizer, text: MarkedText, ids: Sequence[int], count: int) -> int:
    """The number of UTF-8 bytes of a text after its first ``count`` ids, which may end within a character."""
    byte_length = getattr(tokenizer, "byte_length", None)
    if byte_length is not None and 0 < count < len(ids):
        offsets = text.offsets(tokenizer)
        if offsets[count - 1][1] > offsets[count][0]:  # only tokens that are bytes share a character
            return sum(map(byte_length, ids[count:]))
    characters = _characters(tokenizer, text, ids, count)
    return utf8_length(text.text[characters:])


def utf8_length(text: str) -> int:
    """The number of bytes of a text in UTF-8; lone surrogates have three."""
    return len(text.encode("utf-8", "surrogatepass"))


def _characters(tokenizer: Tokenizer, text: MarkedText, ids: Sequence[int], count: int) -> int:
    """The number of characters in the first ``count`` ids of a text."""
    if count in (0, len(ids)):
        return len(text.text) if count else 0
    try:
        offsets = text.offsets(tokenizer)
    except BackboneError:  # a tokenizer without offsets: any place is possible
        first, last = 0, len(text.text)
    else:  # offsets may exclude white space at either end of a token
        first, last = offsets[count - 1][1], offsets[count][0]
    ends = (end for end in range(last, first - 1, -1) if text.first(end).ids(tokenizer) == ids[:count])
    # A mark in front of the text may have the place of the first character, which the next token then contains.
    return next(ends, min(first, last))
