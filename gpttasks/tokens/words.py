"""Where words begin and end in a text, in scripts that put spaces between words."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import Any

from ..scripts import UNSPACED, characters_of

WITHOUT_BORDERS = (*UNSPACED, "Hangul")
"""The scripts in which a word may begin or end between any two letters.

Hangul is among them: Korean has spaces, but joins particles to words, which answers leave out.
"""
JOINERS = "_\u200c\u200d"
"""The underscore, and the characters that join or separate letters within a word, as in Persian and Hindi."""


def splits_word(text: str, place: int) -> bool:
    """Whether a cut before the character at ``place`` would split a word or a number such as ``1,000.5``.

    A word consists of letters, digits and their marks; apostrophes and hyphens divide words.
    """
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if _joined(before) and _joined(after):
        return True
    if after in ".,":
        return before.isdigit() and text[place + 1 : place + 2].isdigit()
    return before in ".," and after.isdigit() and text[max(0, place - 2) : place - 1].isdigit()


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The span from ``start`` to ``end``, extended to the borders of the words that it splits."""
    while splits_word(text, start):
        start -= 1
    while splits_word(text, end):
        end += 1
    return start, end


@lru_cache(maxsize=4096)
def _joined(character: str) -> bool:
    """Whether the character is part of a word, in a script with spaces between words."""
    if character in JOINERS:
        return True
    if unicodedata.category(character)[0] not in "LNM":
        return False
    return _without_borders().fullmatch(character) is None


@cache
def _without_borders() -> Any:
    """The pattern of a character in a script without borders between words."""
    import regex

    return regex.compile(characters_of(*WITHOUT_BORDERS))
