"""The words of which ROUGE counts: those of rouge_score where text is Latin, those of Unicode in other scripts."""

from __future__ import annotations

from collections.abc import Iterator

import regex
from nltk.stem.porter import PorterStemmer
from rouge_score import tokenize
from rouge_score.tokenizers import Tokenizer

_OTHER_SCRIPT = regex.compile(
    r"[[\p{Letter}--\p{Script=Latin}--\p{Script=Common}]||[\p{Decimal_Number}--[0-9]]]", regex.V1
)
"""A letter of another script than Latin, or a digit other than 0 to 9."""

_BOUNDARY = regex.compile(r"\b", regex.V1 | regex.WORD)
"""A word boundary of Unicode Standard Annex 29."""


class ScriptTokenizer(Tokenizer):  # type: ignore[misc]
    """Divides text into words, whatever its script, and Latin text exactly as rouge_score does.

    rouge_score reads the letters a to z and digits, so that texts in other scripts have no words and score 0. Here the
    text is divided at the word boundaries of Unicode (UAX 29, which makes each Chinese character a word). A piece with
    a letter or digit of another script is one word; what lies between such pieces is left to rouge_score.

    use_stemmer: whether Latin words are reduced to their stems with the Porter stemmer for English.
    """

    def __init__(self, use_stemmer: bool = False) -> None:
        self._stemmer = PorterStemmer() if use_stemmer else None

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, in their order."""
        if _OTHER_SCRIPT.search(text) is None:
            return self._latin_words(text)
        return list(self._words(text.lower()))

    def _words(self, text: str) -> Iterator[str]:
        latin = ""
        for piece in _BOUNDARY.split(text):
            if _OTHER_SCRIPT.search(piece) is None:
                latin += piece
                continue
            yield from self._latin_words(latin)
            yield piece
            latin = ""
        yield from self._latin_words(latin)

    def _latin_words(self, text: str) -> list[str]:
        words: list[str] = tokenize.tokenize(text, self._stemmer)
        return words
