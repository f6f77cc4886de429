"""A tokenizer with one token per byte of UTF-8."""

from __future__ import annotations

from ..errors import DataError
from ..example import Media, Spans

BYTES = 256


class ByteTokenizer:
    """One token per byte of UTF-8; every row begins with the id 256. It has no special tokens in texts."""

    starts_with: tuple[int, ...] = (BYTES,)
    fallback_start: int | None = BYTES
    end: int | None = BYTES

    def encode(self, text: str, special: Spans = ()) -> list[int]:
        """The bytes of ``text``. Raises DataError if it is not valid Unicode."""
        try:
            return list(text.encode())
        except UnicodeEncodeError as error:
            raise DataError(f"the text is not valid Unicode and cannot be tokenised: {text[:80]!r}") from error

    def offsets(self, text: str, special: Spans = ()) -> list[tuple[int, int]]:
        """For each byte, the place of its character."""
        return [(place, place + 1) for place, character in enumerate(text) for _ in character.encode()]

    def media_ids(self, media: Media) -> list[int]:
        """Raises DataError: this tokenizer reads only text."""
        raise DataError(f"the prompt has {media.type}, but the mock reads only text")

    def token_ends(self, text: str, special: Spans = ()) -> list[int]:
        """The end of every character."""
        return list(range(1, len(text) + 1))

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids`` without the start token; broken characters become U+FFFD."""
        return bytes(token for token in ids if token < BYTES).decode(errors="replace")

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each id on its own."""
        return ["<start>" if token == BYTES else self.decode([token]) for token in ids]
