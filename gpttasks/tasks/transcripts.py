"""Transcripts of speech: normalisation, and error counts by jiwer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import jiwer

TranscriptNormaliser: TypeAlias = Literal["none", "lower", "basic-english"]
"""How transcripts are normalised before they are compared; see :func:`normalised_transcript`."""

_MARK = re.compile(r"[^\w\s]|_")


def normalised_transcript(text: str, normaliser: TranscriptNormaliser) -> str:
    """A transcript, normalised for comparison.

    none:
        white space around the text is removed, other white space becomes one space; words are separated by spaces.
    lower:
        the same, in lower case.
    basic-english:
        the same, in lower case and without punctuation and symbols (the Unicode categories P and S). A dash, a hyphen,
        a slash and an underscore become a space (``twenty-one`` is two words). An apostrophe between two letters or
        digits stays (``don't``, but ``dogs'`` is ``dogs``), and a curly one becomes straight. A point between two
        digits stays (``3.5``). All else is removed (``1,000`` is ``1000``, ``U.S.`` is ``us``). Nothing is spelt out:
        numbers, titles and British spellings stay as they are.
    """
    if normaliser != "none":
        text = text.lower()
    if normaliser == "basic-english":
        text = _MARK.sub(_bare, text.replace("’", "'"))
    return " ".join(text.split())


def _bare(match: re.Match[str]) -> str:
    """The replacement of a mark: itself within a word or a number, a space if it joins words, else nothing."""
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


def word_errors(
    hypothesis: str, references: Iterable[str], normaliser: TranscriptNormaliser = "none"
) -> tuple[int, int]:
    """(word errors, words of the reference) for the reference with the fewest errors; among equals, the longest.

    Errors are substitutions, deletions and insertions in the best alignment. Against an empty reference, every word is
    an insertion. Raises ValueError without a reference.
    """
    import jiwer

    return _fewest(jiwer.process_words, hypothesis, references, normaliser)


def character_errors(
    hypothesis: str, references: Iterable[str], normaliser: TranscriptNormaliser = "none"
) -> tuple[int, int]:
    """The same as :func:`word_errors` in characters, the spaces between words among them."""
    import jiwer

    return _fewest(jiwer.process_characters, hypothesis, references, normaliser)


def _fewest(
    align: Callable[[str, str], jiwer.WordOutput | jiwer.CharacterOutput],
    hypothesis: str,
    references: Iterable[str],
    normaliser: TranscriptNormaliser,
) -> tuple[int, int]:
    hypothesis = normalised_transcript(hypothesis, normaliser)
    normalised = dict.fromkeys(normalised_transcript(reference, normaliser) for reference in references)
    if not normalised:
        raise ValueError("references is empty, expected one or more")
    counts = [_counts(align(reference, hypothesis)) for reference in normalised]
    return min(counts, key=lambda count: (count[0], -count[1]))


def _counts(aligned: Any) -> tuple[int, int]:
    replaced, deleted, inserted = aligned.substitutions, aligned.deletions, aligned.insertions
    return replaced + deleted + inserted, aligned.hits + replaced + deleted
