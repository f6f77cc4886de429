"""The place of a prompt's passage in its token ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..errors import DataError
from ..example import Prompt
from ..requests import Span
from .marked_text import one_start, text_of
from .tokenizer import Tokenizer


def place_passage(
    tokenizer: Tokenizer, prompt: Prompt
) -> tuple[list[int], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """The ids of a prompt with one passage, the indices of the passage's ids, and the place of each in the passage."""
    count = sum(part.kind == "passage" for part in prompt)
    if count != 1:
        raise DataError(f"the prompt has {count} passages, expected 1", hint="mark one column: {{ context | passage }}")
    ids, prompt = one_start(tokenizer, prompt)
    inside: list[int] = []
    places: list[tuple[int, int]] = []
    for is_media, group in groupby(prompt, key=lambda part: part.media is not None):
        parts = list(group)
        if is_media:
            ids += [id for part in parts if part.media is not None for id in tokenizer.media_ids(part.media)]
            continue
        text = text_of(tuple(parts))
        passage = next((index for index, part in enumerate(parts) if part.kind == "passage"), None)
        if passage is not None:
            begin = sum(len(part.text) for part in parts[:passage])
            end = begin + len(parts[passage].text)
            for index, (first, last) in enumerate(text.offsets(tokenizer)):
                if max(first, begin) < min(last, end):
                    inside.append(len(ids) + index)
                    places.append((max(first, begin) - begin, min(last, end) - begin))
        ids += text.ids(tokenizer)
    return ids, tuple(inside), tuple(places)


def tokens_in_span(span: Span, places: Sequence[tuple[int, int]], length: int) -> tuple[int, ...]:
    """The tokens that overlap the span, by number, in a passage of ``length`` characters. Raises DataError for none."""
    first, end = span
    if end > length:
        raise DataError(f"got the span ({first}, {end}), but the passage has only {length} characters")
    tokens = tuple(index for index, (start, stop) in enumerate(places) if start < end and stop > first)
    if not tokens:
        raise DataError(f"the span ({first}, {end}) of the passage has no tokens")
    return tokens
