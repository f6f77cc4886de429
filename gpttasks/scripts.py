"""Scripts, as Unicode calls the writing systems: which of them are written without spaces between words."""

from __future__ import annotations

UNSPACED = (
    *("Balinese", "Bopomofo", "Han", "Hiragana", "Javanese", "Katakana", "Khmer", "Lao", "Myanmar", "New_Tai_Lue"),
    *("Nushu", "Tai_Le", "Tai_Tham", "Tai_Viet", "Tangut", "Thai", "Tibetan", "Yi"),
)
"""The scripts that are written without spaces between words."""


LONG_VOWEL = "\u30fc\uff70"
"""The signs for a long vowel in Hiragana and Katakana, which Unicode counts to neither."""


def characters_of(*scripts: str) -> str:
    """A character class of the ``regex`` library for the letters, marks and signs of the scripts."""
    shared = LONG_VOWEL if "Katakana" in scripts else ""
    return "[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + shared + "]"
