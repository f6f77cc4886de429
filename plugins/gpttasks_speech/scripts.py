"""Which scripts a text is written in, as far as the names of its letters tell."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_WIDTHS = ("FULLWIDTH", "HALFWIDTH")
_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA"), "Chinese or Japanese")


def scripts_of(text: str) -> frozenset[str]:
    """The scripts of the letters in a text, such as ``Latin``; digits, marks and punctuation have none.

    Chinese characters and the Japanese syllabaries are one, since one word may be written in any of them.
    """
    return frozenset(script for character in set(text) if (script := _script(character)) is not None)


@lru_cache(maxsize=4096)
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    words = unicodedata.name(character, "").split()
    if words and words[0] in _WIDTHS:
        words = words[1:]
    return _TOGETHER.get(words[0], words[0].capitalize()) if words else None
