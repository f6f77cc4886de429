"""Text with the spans that may contain special tokens, and the beginning of a prompt's row."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from ..errors import DataError
from ..example import Part, Prompt, Spans, special_places
from .tokenizer import Tokenizer


class MarkedText(NamedTuple):
    """A text, and the spans in which the text of a special token becomes that token; see :class:`~gpttasks.Part`."""

    text: str
    special: Spans = ()

    def ids(self, tokenizer: Tokenizer) -> list[int]:
        """The ids of the text."""
        return tokenizer.encode(self.text, self.special)

    def offsets(self, tokenizer: Tokenizer) -> list[tuple[int, int]]:
        """The place of each of these ids in the text."""
        return tokenizer.offsets(self.text, self.special)

    def first(self, characters: int) -> MarkedText:
        """Its first characters."""
        return MarkedText(self.text[:characters], self.special)

    def stripped(self) -> MarkedText:
        """The text without the white space at its end."""
        return MarkedText(self.text.rstrip(), self.special)

    def followed_by(self, text: str, special: Spans = ()) -> MarkedText:
        """This text and more; ``special`` are spans of ``text``."""
        if not special:
            return MarkedText(self.text + text, self.special)
        length = len(self.text)
        before, (first, last) = list(self.special), special[0]
        after = [(length + first, length + last) for first, last in special]
        if first == 0 and before and before[-1][1] == length:  # a special token may cross the border
            after[0] = (before.pop()[0], length + last)
        return MarkedText(self.text + text, (*before, *after))


def text_of(prompt: Prompt) -> MarkedText:
    """The joined texts of parts without media."""
    if len(prompt) == 1:
        return MarkedText(prompt[0].text, prompt[0].special)
    return MarkedText("".join([part.text for part in prompt]), special_places(prompt))


class Beginning(NamedTuple):
    """What is before the last text of a prompt: the start token and the ids of media and of the texts between them."""

    ids: list[int]
    text: MarkedText


def beginning(tokenizer: Tokenizer, prompt: Prompt) -> Beginning:
    """The ids of everything before a prompt's last text, and that text: only this is joined with a continuation.

    A row has one start token, even if the prompt's text begins with it too; see :func:`one_start`.
    """
    start, prompt = one_start(tokenizer, prompt)
    last = max((index for index, part in enumerate(prompt) if part.media), default=-1)
    for with_media, parts in groupby(prompt[: last + 1], key=lambda part: part.media is not None):
        if with_media:
            start += [id for part in parts if part.media for id in tokenizer.media_ids(part.media)]
        else:
            start += text_of(tuple(parts)).ids(tokenizer)
    return Beginning(start, text_of(prompt[last + 1 :]))


def one_start(tokenizer: Tokenizer, prompt: Prompt) -> tuple[list[int], Prompt]:
    """The ids that come before a prompt's own, and the prompt without start tokens after its beginning.

    If a template begins with the start token, as chat templates do, the tokenizer adds no second one, and a prompt with
    shots does not repeat it before each.
    """
    if not any(part.special for part in prompt):
        return list(tokenizer.starts_with), prompt
    text: str | None = getattr(tokenizer, "bos_text", None)
    if text is None:
        return list(tokenizer.starts_with), prompt
    spelt = [begins_with(part, text) for part in prompt]
    parts: list[Part] = []
    for index, part in enumerate(prompt):
        repeated = spelt[index] and index > 0 and prompt[index - 1].kind == "shot"
        parts.append(part.piece(len(text), len(part.text)) if repeated else part)
    return [] if spelt[:1] == [True] else list(tokenizer.starts_with), tuple(parts)


def begins_with(part: Part, token: str) -> bool:
    """Whether a part begins with the text of a special token that becomes that token."""
    return part.text.startswith(token) and part.piece(0, len(token)).special == ((0, len(token)),)


def refuse_media(prompt: Prompt) -> None:
    """Raise DataError for a prompt with audio or an image where only text is possible."""
    if any(part.media for part in prompt):
        raise DataError("audio and images have no likelihood: only text can be scored", hint="use head: choice")
