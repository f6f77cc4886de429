"""``check --show N``: prompts as the model gets them, token by token."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..requests import Generate, LogLikelihood, Request, Rolling
from .check_data import LoadedExamples
from .output import counted

if TYPE_CHECKING:
    from ..example import Example
    from ..plugins import Plugins
    from ..recipe.schema import Use
    from ..tokens.byte_tokenizer import ByteTokenizer
    from ..tokens.join import Joined
    from ..tokens.tokenizer import TextTokenizer

BAR = "│"


@dataclass(frozen=True)
class Reader:
    """A backbone's tokenizer and context, without its weights."""

    tokenizer: TextTokenizer | ByteTokenizer
    context: int

    def join(self, request: Request) -> Joined:
        """The request as token ids."""
        from ..tokens.join import join

        if isinstance(request, LogLikelihood):
            return join(self.tokenizer, request.prompt, request.continuation, self.context, request.beside)
        room = self.context - request.max_tokens if isinstance(request, Generate) else self.context
        if isinstance(request, Rolling):  # read in windows, never cut
            room = sys.maxsize
        return join(self.tokenizer, request.prompt, "", room)

    def text(self, ids: Sequence[int]) -> str:
        """The tokens with bars around them; a line break in one shows as ↵ too, media as a number of embeddings."""
        pieces: list[str] = []
        for in_media, some in groupby(ids, key=lambda token: token < 0):
            group = list(some)
            read = [f"<{counted(len(group), 'embedding')}>"] if in_media else self.tokenizer.pieces(group)
            pieces += [piece.replace("\n", "↵\n") for piece in read]
        return f"{BAR}{BAR.join(pieces)}{BAR}"


def prompts_text(loaded: LoadedExamples, count: int, plugins: Plugins) -> str:
    """The first prompts of the scored split, with their shots, in the backbone's tokens if it has any yet."""
    from ..model.media import MediaNodes
    from ..pipeline.answering import add_shots
    from ..pipeline.prepare import create, shot_pool
    from ..tasks.splits import scored_set
    from ..tokens.byte_tokenizer import ByteTokenizer
    from ..tokens.tokenizer import TextTokenizer

    recipe = loaded.recipe
    score = recipe.score
    examples = scored_set(loaded.sets, score.split).examples[:count]
    reader = reader_of(recipe.backbone, plugins)
    # A head may ask the backbone for its tokens and its context; without any, all of a prompt fits.
    if recipe.encoder is not None and reader is not None and isinstance(reader.tokenizer, TextTokenizer):
        encoder = create(plugins, "encoder", recipe.encoder)
        encoder.bind(1)  # only lengths are asked for
        reader.tokenizer.media = MediaNodes(encoder)
    stand_in: Any = reader or Reader(ByteTokenizer(), sys.maxsize)
    loaded.head.backbone = stand_in
    lines = []
    if reader is None:
        name = recipe.backbone.name
        lines.append(f"backbone {name!r} has no tokenizer before it is loaded: token boundaries and cuts are not shown")
    for number, example in enumerate(
        add_shots(examples, shot_pool(recipe, loaded.sets), score.shots, loaded.head.separator), 1
    ):
        lines.append(f"--- prompt {number} of {len(examples)}: {example.id}, right answer: {example.gold_text}")
        lines += _tokens(loaded, example, reader) if reader is not None else _plain(loaded, example)
    return "\n".join(lines)


def reader_of(backbone: Use, plugins: Plugins) -> Reader | None:
    """The tokenizer of a backbone that has one before its weights are loaded; None for others. Raises BackboneError."""
    from ..backbones.hf import HuggingFace
    from ..backbones.mock import Mock
    from ..backbones.nano import NANO_FOLDER, Nano
    from ..backbones.run import RunBackbone, finished_recipe
    from ..model.folder import check_folder, find_folder
    from ..model.loaded import usable_context
    from ..records.folder import MODEL
    from ..tokens.byte_tokenizer import ByteTokenizer
    from ..tokens.tokenizer import load_tokenizer

    options: Any = backbone.options
    if backbone.name == HuggingFace.name:
        folder = find_folder(options.path, options.revision)
    elif backbone.name == Nano.name:
        folder = NANO_FOLDER
    elif backbone.name == Mock.name:
        return Reader(ByteTokenizer(), options.context)
    elif backbone.name == RunBackbone.name:
        folder = Path(options.path) / MODEL
        if not folder.is_dir():
            return reader_of(finished_recipe(Path(options.path), plugins).backbone, plugins)
        options = options.model_construct(context=None)
    else:
        return None
    check_folder(folder)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return Reader(load_tokenizer(folder), usable_context(config, options.context))


def _tokens(loaded: LoadedExamples, example: Example, reader: Reader) -> Iterator[str]:
    """The prompt once, then each continuation; whatever differs between the requests is shown."""
    shown: list[int] = []
    for request in loaded.head.requests(example):
        joined = reader.join(request)
        before, after = list(joined.ids[: joined.boundary]), joined.ids[joined.boundary :]
        if before != shown:
            yield reader.text(before)
            yield from _cut_lines(joined)
            shown = before
        if after:
            moved = "; its first token begins in the prompt" if joined.moved else ""
            yield f"  ▸ {reader.text(after)} ({counted(len(before) + len(after), 'token')} in all{moved})"


def _cut_lines(joined: Joined) -> Iterator[str]:
    if joined.cut.shots:
        yield f"  cut: {counted(joined.cut.shots, 'shot')}"
    if joined.cut.tokens:
        yield f"  cut: {counted(joined.cut.tokens, 'token')} of a passage"


def _plain(loaded: LoadedExamples, example: Example) -> Iterator[str]:
    from ..example import prompt_text

    yield prompt_text(example.prompt)
    for request in loaded.head.requests(example):
        if isinstance(request, LogLikelihood):
            yield f"  ▸ {request.continuation}"
