"""Transcripts of speech: how they are normalised, and how many errors one has, as jiwer counts them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import jiwer

TranscriptNormaliser: TypeAlias = Literal["none", "lower", "basic-english"]
"""What is done to transcripts before they are compared; see :func:`normalised_transcript`."""

_MARK = re.compile(r"[^\w\s]|_")


def normalised_transcript(text: str, normaliser: TranscriptNormaliser) -> str:
    """A transcript as it is compared with another one.

    none:
        white space around the text is removed, any other made one space: words are what white space separates.
    lower:
        the same, in lower case.
    basic-english:
        the same, in lower case and without punctuation and symbols (the Unicode categories P and S). A dash, a hyphen,
        a slash and an underscore become a space (``twenty-one`` is two words). An apostrophe between two letters or
        digits stays, a curly one made straight (``don't``, but ``dogs'`` is ``dogs``), and so does a point between two
        digits (``3.5``). All else is removed (``1,000`` is ``1000``, ``U.S.`` is ``us``). Nothing is spelt out:
        numbers, titles and British spellings stay as they are.
    """
    if normaliser != "none":
        text = text.lower()
    if normaliser == "basic-english":
        text = _MARK.sub(_bare, text.replace("’", "'"))
    return " ".join(text.split())


def _bare(match: re.Match[str]) -> str:
    """What stays of a mark: itself within a word or a number, a space for what joins words, else nothing."""
    mark = match[0]
    category = unicodedata.category(mark)
    if category[0] not in "PS":
        return mark  # a combining mark
    if mark in "/_" or category == "Pd":
        return " "
    before, after = match.string[: match.start()][-1:], match.string[match.end() : match.end() + 1]
    inside = (mark == "'" and before.isalnum() and after.isalnum()) or (
        mark == "." and before.isdigit() and after.isdigit()
    )
    return mark if inside else ""


def word_errors(said: str, references: Iterable[str], normaliser: TranscriptNormaliser = "none") -> tuple[int, int]:
    """(word errors, words of the reference) for the reference with the fewest errors, of equals the longest.

    Errors are substitutions, deletions and insertions in the best alignment. Against an empty reference, every word is
    an insertion. Raises ValueError without a reference.
    """
    import jiwer

    return _fewest(jiwer.process_words, said, references, normaliser)


def character_errors(
    said: str, references: Iterable[str], normaliser: TranscriptNormaliser = "none"
) -> tuple[int, int]:
    """The same as :func:`word_errors` in characters, the spaces between words among them."""
    import jiwer

    return _fewest(jiwer.process_characters, said, references, normaliser)


def _fewest(
    align: Callable[[str, str], jiwer.WordOutput | jiwer.CharacterOutput],
    said: str,
    references: Iterable[str],
    normaliser: TranscriptNormaliser,
) -> tuple[int, int]:
    said = normalised_transcript(said, normaliser)
    wanted = dict.fromkeys(normalised_transcript(reference, normaliser) for reference in references)
    if not wanted:
        raise ValueError("there is no reference, wanted one or more")
    counts = [_counts(align(reference, said)) for reference in wanted]
    return min(counts, key=lambda count: (count[0], -count[1]))


def _counts(aligned: Any) -> tuple[int, int]:
    replaced, deleted, inserted = aligned.substitutions, aligned.deletions, aligned.insertions
    return replaced + deleted + inserted, aligned.hits + replaced + deleted
