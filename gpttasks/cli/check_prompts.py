"""``check --show N``: prompts as the model gets them, token by token."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..requests import Cut, LogLikelihood
from ..tokens.rows import rows_of_request
from .output import counted

if TYPE_CHECKING:
    from ..example import Example
    from ..heads.base import Head
    from ..pipeline.parts import RunParts
    from ..plugins import Plugins
    from ..tokens.tokenizer import Tokenizer

BAR = "│"


@dataclass(frozen=True)
class Reader:
    """A backbone's name, tokenizer and context, without its weights."""

    name: str
    tokenizer: Tokenizer
    context: int

    def text(self, ids: Sequence[int]) -> str:
        """The tokens with bars around them; a line break in one shows as ↵ too, media as a number of embeddings."""
        pieces: list[str] = []
        for in_media, some in groupby(ids, key=lambda token: token < 0):
            group = list(some)
            read = [f"<{counted(len(group), 'embedding')}>"] if in_media else self.tokenizer.pieces(group)
            pieces += [piece.replace("\n", "↵\n") for piece in read]
        return f"{BAR}{BAR.join(pieces)}{BAR}"


def reader_of(parts: RunParts, plugins: Plugins) -> Reader | None:
    """The tokenizer and the context of the recipe's backbone; None if they are known only after it is loaded."""
    from ..model.media import MediaNodes
    from ..tokens.tokenizer import TextTokenizer

    loaded = parts.backbone.underlying(plugins).load_tokenizer()
    reader = None if loaded is None else Reader(parts.backbone.name, *loaded)
    if parts.encoder is not None and reader is not None and isinstance(reader.tokenizer, TextTokenizer):
        parts.encoder.bind(1)  # only lengths are needed, not embeddings
        reader.tokenizer.media = MediaNodes(parts.encoder)
    return reader


def prompts_text(parts: RunParts, count: int, reader: Reader | None) -> str:
    """The first prompts of the scored split, with their shots, in the backbone's tokens if they are known."""
    from ..pipeline.answering import with_their_shots
    from ..tokens.byte_tokenizer import ByteTokenizer

    name, examples = parts.recipe.backbone.name, parts.scored[:count]
    # A head may read the backbone's tokenizer and context. Without a tokenizer nothing is cut.
    stand_in: Any = reader or Reader(name, ByteTokenizer(), sys.maxsize)
    parts.head.backbone = stand_in
    lines = []
    if reader is None:
        lines.append(f"backbone {name!r} has no tokenizer before it is loaded: token boundaries and cuts are not shown")
    for number, example in enumerate(with_their_shots(parts, examples), 1):
        lines.append(f"--- prompt {number} of {len(examples)}: {example.id}, right answer: {example.gold_text}")
        lines += _tokens(parts.head, example, reader) if reader is not None else _prompt_texts(parts.head, example)
    return "\n".join(lines)


def _tokens(head: Head, example: Example, reader: Reader) -> Iterator[str]:
    """The prompt once, then each continuation; whatever differs between the requests is shown."""
    shown: list[int] = []
    for request in head.requests(example):
        for row in rows_of_request(reader.tokenizer, request, reader.context):
            before, after = list(row.ids[: row.start]), row.ids[row.start :]
            if before != shown:
                yield reader.text(before)
                yield from _cut_lines(row.cut)
                shown = before
            if after:
                crosses = "; a token crosses the prompt's end" if row.crosses else ""
                yield f"  ▸ {reader.text(after)} ({counted(len(row.ids), 'token')} in all{crosses})"


def _cut_lines(cut: Cut) -> Iterator[str]:
    if cut.shots:
        yield f"  cut: {counted(cut.shots, 'shot')}"
    if cut.tokens:
        side = "start" if cut.at_start == cut.tokens else "end"
        side = "starts and ends" if 0 < cut.at_start < cut.tokens else f"the {side}"
        yield f"  cut: {counted(cut.tokens, 'token')} at {side} of a passage"


def _prompt_texts(head: Head, example: Example) -> Iterator[str]:
    from ..example import prompt_text

    yield prompt_text(example.prompt)
    for request in head.requests(example):
        if isinstance(request, LogLikelihood):
            yield f"  ▸ {request.continuation}"
