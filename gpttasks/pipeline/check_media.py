"""Audio and images of all examples, checked before anything is trained or scored; bad ones are reported by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import BackboneError, DataError, Problem
from ..example import Example, Media
from ..plugins.faults import blamed, looking_at
from ..progress import Progress
from ..tasks.reading import ADVICE
from ..tasks.splits import ExampleSet, set_digest
from .find_row import placed_problem

if TYPE_CHECKING:
    from ..encoders.base import Encoder
    from ..model.causal_lm import CausalLM
    from .parts import RunParts


def check_media(parts: RunParts) -> None:
    """Have the encoder measure each audio or image; with ``data.bad_rows: skip``, leave out those that it cannot read.

    Raises DataError with the number of such rows and the first of them, and BackboneError for an encoder whose
    embeddings do not fit.
    """
    with_media = {role: sum(any(media_in(one)) for one in role_set.examples) for role, role_set in parts.sets.items()}
    if parts.backbone.lm is None or not any(with_media.values()):
        return
    flaws: dict[str, dict[str, Problem]] = {}  # by split, since roles may be shares of one
    with Progress("looking at audio and images", sum(with_media.values()), "examples") as progress:
        for role, part in parts.sets.items():
            if with_media[role]:
                found = dict(_flaws(parts, part, progress))
                flaws.setdefault(part.split, {}).update(found)
    if any(flaws.values()):
        _leave_out(parts, flaws)
    left = (media for part in parts.sets.values() for one in part.examples for media in media_in(one))
    first = next(left, None)
    if parts.encoder is not None and first is not None:
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
    with blamed(encoder, "embed"), torch.no_grad(), torch.random.fork_rng(devices=[]):
        (made,) = encoder.embed([media])
        got = list(made.shape)
        if got != expected:
            raise BackboneError(
                f"encoder {encoder.name!r} made embeddings of shape {got}, expected {expected}: as many as its "
                f"length() says, and of the hidden size of the backbone, {wide}",
                hint="bind() receives the hidden size: the last layer of the encoder must have that width",
            )


def _flaws(parts: RunParts, part: ExampleSet, progress: Progress) -> Iterator[tuple[str, Problem]]:
    """The id of each example whose media cannot be used, and why."""
    for example in part.examples:
        media = list(media_in(example))
        if not media:
            continue
        try:
            with looking_at(example):
                length = sum(_length(parts, one) for one in media)
            progress.advance(1, length)
        except DataError as error:
            yield example.id, error.problems[0]


def _length(parts: RunParts, media: Media) -> int:
    """How many embeddings it becomes. Raises DataError if it cannot be read, or is alone too long."""
    backbone = parts.backbone
    assert backbone.lm is not None
    length = len(backbone.lm.tokenizer.media_ids(media))
    if length >= backbone.context:
        raise DataError(
            f"the {media.type} {media.digest[:8]} makes {length:,} embeddings, and the context is of "
            f"{backbone.context:,} tokens",
            hint="cut it, or use an encoder that makes fewer, or a backbone with a larger context",
        )
    return length


def _leave_out(parts: RunParts, flaws: dict[str, dict[str, Problem]]) -> None:
    """The sets without what cannot be used. Raises DataError unless the recipe says so, or where nothing is left."""
    skip = parts.recipe.data.bad_rows == "skip"
    for role, part in parts.sets.items():
        bad = flaws.get(part.split, {})
        rest = tuple(example for example in part.examples if example.id not in bad)
        if len(rest) < len(part.examples) and not (skip and rest):
            raise DataError(_problem_with(parts, part, bad))
        digest = set_digest(rest, part.definition)
        changed = replace(part, examples=rest, skipped=part.skipped + len(bad), digest=digest)
        parts.sets = {**parts.sets, role: changed}


def _problem_with(parts: RunParts, part: ExampleSet, bad: dict[str, Problem]) -> Problem:
    """How many rows are bad, and the first of them at its place."""
    first = next(example for example in part.examples if example.id in bad)
    problem = bad[first.id]
    count = f"{len(bad)} of {part.rows} rows cannot be used; the first: "
    return placed_problem(parts, part, first, replace(problem, hint=problem.hint or ADVICE), count)
