"""Checks the audio and images of all examples before anything is trained or scored; reports bad ones by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import BackboneError, DataError, Problem, TooLong
from ..example import Example, Media
from ..plugins.faults import blamed, looking_at
from ..progress import Progress
from ..tasks.reading import ADVICE
from ..tasks.splits import ExampleSet, set_digest
from ..training.kept_states import buffers_unchanged
from .find_row import placed_problem
from .load_data import shot_pool
from .too_long import skip

if TYPE_CHECKING:
    from ..encoders.base import Encoder
    from ..model.causal_lm import CausalLM
    from ..tokens.tokenizer import Tokenizer
from .parts import RunParts


def check_media(parts: RunParts, tokenizer: Tokenizer, context: int) -> None:
    """Have the encoder measure all audio and images; with ``data.bad_rows: skip``, leave out what it cannot read.

    Those that do not fit the context are skipped, if the recipe says so. Raises DataError with the number of rows that
    cannot be used, and the first of them.
    """
    with_media = {role: sum(any(media_in(one)) for one in role_set.examples) for role, role_set in parts.sets.items()}
    if not any(with_media.values()):
        return
    length_of = partial(_length, tokenizer, context)
    problems: dict[str, dict[str, Problem]] = {}  # by split, since several roles may be parts of one split
    with Progress("checking audio and images", sum(with_media.values()), "examples", shown=not parts.rows) as progress:
        for role, part in parts.sets.items():
            if with_media[role]:
                problems.setdefault(part.split, {}).update(_problems(parts, role, length_of, progress))
    if any(problems.values()):
        _leave_out(parts, problems)


def check_encoder(parts: RunParts) -> None:
    """Raises BackboneError if the encoder's embeddings do not have the shape that the backbone needs."""
    all_media = (media for part in parts.sets.values() for one in part.examples for media in media_in(one))
    first = next(all_media, None)
    if parts.encoder is not None and parts.backbone.lm is not None and first is not None:
        check_embeddings(parts.backbone.lm, parts.encoder, first)


def media_in(example: Example) -> Iterator[Media]:
    """The audio and images of a prompt."""
    return (part.media for part in example.prompt if part.media is not None)


def check_embeddings(lm: CausalLM, encoder: Encoder, media: Media) -> None:
    """Raises BackboneError if the width or the number of the encoder's embeddings is not as the backbone needs."""
    import torch

    wide = int(lm.causal_lm.get_input_embeddings().weight.shape[1])
    expected = [encoder.length(media), wide]
    # Its dropout, if it has any, must not move what is drawn afterwards. Not inference_mode: encoders remember states.
    with (
        blamed(encoder, "embed"),
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
        buffers_unchanged(encoder.modules()),
    ):
        (made,) = encoder.embed([media])
        got = list(made.shape)
        if got != expected:
            raise BackboneError(
                f"encoder {encoder.name!r} made embeddings of shape {got}, expected {expected}: as many as its "
                f"length() says, and of the hidden size of the backbone, {wide}",
                hint="bind() receives the hidden size: the last layer of the encoder must have that width",
            )


def _problems(
    parts: RunParts, role: str, length_of: Callable[[Media], int], progress: Progress
) -> Iterator[tuple[str, Problem]]:
    """The id of each example with unusable media, and the problem. Media that do not fit are too long, not unusable."""
    for example in parts.sets[role].examples:
        media = list(media_in(example))
        if not media:
            continue
        try:
            with looking_at(example):
                length = sum(map(length_of, media))
            progress.advance(1, length)
        except TooLong as error:
            skip(parts, role, example, error.problems[0])
        except DataError as error:
            yield example.id, error.problems[0]


def _length(tokenizer: Tokenizer, context: int, media: Media) -> int:
    """The number of embeddings. Raises DataError if the media cannot be read, TooLong if they do not fit."""
    length = len(tokenizer.media_ids(media))
    if length >= context:
        raise TooLong(
            f"the {media.type} {media.digest[:8]} makes {length:,} embeddings, but the context has {context:,} tokens",
            hint="shorten it, or use an encoder that makes fewer embeddings, or a backbone with a longer context",
        )
    return length


def _leave_out(parts: RunParts, problems: dict[str, dict[str, Problem]]) -> None:
    """Remove what cannot be used from the sets. Raises DataError if the recipe forbids it or nothing is left."""
    skip = parts.recipe.data.bad_rows == "skip"
    for role, part in parts.sets.items():
        bad = problems.get(part.split, {})
        rest = tuple(example for example in part.examples if example.id not in bad)
        if len(rest) < len(part.examples) and not (skip and rest):
            raise DataError(_problem_with(parts, part, bad))
        digest = set_digest(rest, part.definition)
        changed = replace(part, examples=rest, skipped=part.skipped + len(bad), digest=digest)
        parts.sets = {**parts.sets, role: changed}
    if parts.shots is not None and parts.recipe.score.shots_from in parts.sets:
        parts.shots = shot_pool(parts.recipe, parts.sets)


def _problem_with(parts: RunParts, part: ExampleSet, bad: dict[str, Problem]) -> Problem:
    """The number of bad rows, and the first of them with its place."""
    first = next(example for example in part.examples if example.id in bad)
    problem = bad[first.id]
    count = f"{len(bad)} of {part.rows} rows cannot be used; the first: " if part.rows > 1 else ""
    return placed_problem(parts, part, first, replace(problem, hint=problem.hint or ADVICE), count)
