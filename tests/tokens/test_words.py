"""Where words begin and end, in scripts with and without spaces."""

from __future__ import annotations

import itertools

import pytest

from gpttasks.tokens.words import splits_word, whole_words


def pieces(text: str) -> list[str]:
    """The text cut at every place that splits no word."""
    cuts = [0, *(place for place in range(1, len(text)) if not splits_word(text, place)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Rome's end", ["Rome", "'", "s", " ", "end"]),
        ("well-known, 1990s.", ["well", "-", "known", ",", " ", "1990s", "."]),
        ("1,000.5 or 3,x 4.", ["1,000.5", " ", "or", " ", "3", ",", "x", " ", "4", "."]),
        ("e\u0301te\u0301 snake_case", ["e\u0301te\u0301", " ", "snake_case"]),
        ("Привет мир", ["Привет", " ", "мир"]),
        ("شهر القدس", ["شهر", " ", "القدس"]),
        ("می\u200cرود", ["می\u200cرود"]),
        ("हिन्दी में", ["हिन्दी", " ", "में"]),
        ("漢語です", list("漢語です")),
        ("人々のｺｰﾋｰ", list("人々のｺｰﾋｰ")),  # signs that repeat a character or lengthen a vowel, in half width too
        ("ᦀᦁᦂ", list("ᦀᦁᦂ")),  # New Tai Lue
        ("서울에서", list("서울에서")),
        ("GPT模型2", ["GPT", "模", "型", "2"]),
        ("😀😀", ["😀", "😀"]),
        ("", [""]),
    ],
)
def test_words_are_whole_where_spaces_divide_them(text: str, words: list[str]) -> None:
    assert pieces(text) == words


@pytest.mark.parametrize(
    ("part", "whole"),
    [("he", "The"), ("e en", "The end"), ("end", "end"), ("2", "1,200"), ("0 r", "1,200 roses"), (" ", " ")],
)
def test_a_part_of_words_grows_to_whole_words(part: str, whole: str) -> None:
    text = "The end of 1,200 roses"
    start, end = whole_words(text, text.index(part), text.index(part) + len(part))
    assert text[start:end] == whole
