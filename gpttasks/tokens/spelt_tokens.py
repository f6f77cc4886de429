"""Special tokens whose text, such as ``</s>``, occurs in a text: some become tokens, others stay plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..example import Spans

if TYPE_CHECKING:
    from tokenizers import Tokenizer as FastTokenizer

FIRST_MARK = 0x100000
"""The first of the private-use characters that replace the special tokens to be encoded as tokens."""
RENAMED = "\ufdd0"
"""A noncharacter. In front of a vocabulary entry, it keeps text from being encoded as that entry."""


class SpeltTokens:
    """Finds special tokens in texts, and encodes texts in which some or all of them are plain text.

    tokenizer:
        a tokenizer of transformers.
    special_ids:
        the id of each special token by its text.
    """

    def __init__(self, tokenizer: Any, special_ids: Mapping[str, int]) -> None:
        self._tokenizer = tokenizer
        self._ids = {text: id for text, id in special_ids.items() if text}
        self._first = tuple(sorted({text[0] for text in self._ids}))
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._fast: _FastEncoder | None = None

    def places(self, text: str) -> list[tuple[int, int]]:
        """The places of all special tokens in a text, as (first character, character after the last)."""
        for character in self._first:  # searching for single characters is much faster
            if character in text:
                return [found.span() for found in self._pattern.finditer(text)]
        return []  # the usual case

    def unmeant(self, text: str, meant: Spans) -> list[str]:
        """The special tokens in a text that are outside the spans ``meant``, and so are plain text."""
        return [text[start:end] for start, end in self.places(text) if not _within((start, end), meant)]

    def encode(self, text: str, meant: Spans) -> list[int]:
        """The ids of a text in which only special tokens within the spans ``meant`` are encoded as tokens."""
        tokens = self._meant(text, meant)
        if getattr(self._tokenizer, "backend_tokenizer", None) is not None:
            return self._fast_encoder().encode(text, tokens)
        ids, done = [], 0
        for start, end in tokens:
            ids += [*self._plain(text[done:start]), self._ids[text[start:end]]]
            done = end
        return [*ids, *self._plain(text[done:])]

    def offsets(self, text: str, meant: Spans) -> list[tuple[int, int]]:
        """The place of each token that :meth:`encode` gives; only for tokenizers with offsets."""
        return self._fast_encoder().offsets(text, self._meant(text, meant))

    def _meant(self, text: str, meant: Spans) -> list[tuple[int, int]]:
        return [place for place in self.places(text) if _within(place, meant)]

    def _fast_encoder(self) -> _FastEncoder:
        if self._fast is None:
            self._fast = _FastEncoder(self._tokenizer.backend_tokenizer, self._ids)
        return self._fast

    def _plain(self, text: str) -> list[int]:
        """The ids of a text without special tokens, by a tokenizer that is written in Python."""
        if not text:
            return []
        ids = _slow_ids(self._tokenizer, text, split_special_tokens=True)
        if not any(self._ids[text[start:end]] in ids for start, end in self.places(text)):
            return ids
        # The tokenizer ignores the option, so split the special tokens: no part of one is a special token.
        cuts = [0, *(start + 1 for start, _ in self.places(text)), len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts)]
        return [id for piece in pieces for id in _slow_ids(self._tokenizer, piece)]


class _FastEncoder:
    """A copy of a fast tokenizer that reads special tokens as text, and a mark character as each special token."""

    def __init__(self, backend: FastTokenizer, special_ids: Mapping[str, int]) -> None:
        from tokenizers import AddedToken

        added = {token.content: (id, token) for id, token in backend.get_added_tokens_decoder().items()}
        self._marks = {text: chr(FIRST_MARK + number) for number, text in enumerate(special_ids)}
        self._copy = _without_special(backend, special_ids)
        self._copy.add_tokens(
            [
                AddedToken(
                    mark,
                    special=False,
                    normalized=False,
                    lstrip=added[text][1].lstrip,
                    rstrip=added[text][1].rstrip,
                    single_word=added[text][1].single_word,
                )
                for text, mark in self._marks.items()
            ]
        )
        # Tokens added to the copy may get other ids than in the tokenizer.
        known = {self._copy.token_to_id(text): id for text, (id, _) in added.items()}
        self._original = known | {self._copy.token_to_id(mark): special_ids[text] for text, mark in self._marks.items()}

    def encode(self, text: str, tokens: Sequence[tuple[int, int]]) -> list[int]:
        """The ids of a text with special tokens at the places ``tokens``."""
        marked = self._marked(text, tokens)
        ids = self._copy.encode_batch_fast([marked], add_special_tokens=False)[0].ids
        return [self._original.get(id, id) for id in ids]

    def offsets(self, text: str, tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The place of each of these ids in the text."""
        shifts, removed = [], 0
        for start, end in tokens:
            shifts.append((start - removed, end - start - 1))  # the place of the mark, and by how much it is shorter
            removed += end - start - 1

        def place(marked: int) -> int:
            return marked + sum(shorter for at, shorter in shifts if at < marked)

        offsets = self._copy.encode(self._marked(text, tokens), add_special_tokens=False).offsets
        return [(place(first), place(last)) for first, last in offsets]

    def _marked(self, text: str, tokens: Sequence[tuple[int, int]]) -> str:
        if any(mark in text for mark in self._marks.values()):
            message = f"the text has special tokens and a private-use character at or above U+{FIRST_MARK:X}"
            raise DataError(message, hint="remove the character: it is reserved for marking special tokens")
        for start, end in reversed(tokens):
            text = text[:start] + self._marks[text[start:end]] + text[end:]
        return text


def _without_special(backend: FastTokenizer, special: Iterable[str]) -> FastTokenizer:
    """A copy that reads special tokens as text, even where they are entries of the vocabulary."""
    from tokenizers import Tokenizer

    content = json.loads(backend.to_str())
    model, names = content["model"], frozenset(special)

    def renamed(entry: str) -> str:
        return RENAMED + entry if entry in names else entry

    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {renamed(entry): id for entry, id in vocabulary.items()}
    elif isinstance(vocabulary, list):  # Unigram: a special token would be the likeliest segment of its own text
        model["vocab"] = [[renamed(entry), score] for entry, score in vocabulary]
    if "merges" in model:  # no merge may make or use an entry that has another name now
        model["merges"] = [pair for pair in model["merges"] if names.isdisjoint((*pair, "".join(pair)))]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = renamed(model["unk_token"])
    copy = Tokenizer.from_str(json.dumps(content))
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    return copy


def _slow_ids(tokenizer: Any, text: str, **options: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False, **options)["input_ids"])


def _within(place: tuple[int, int], spans: Spans) -> bool:
    return any(start <= place[0] and place[1] <= end for start, end in spans)
