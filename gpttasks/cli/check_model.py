"""``check --data``: whether the backbone can read the examples, whether the parts of a recipe fit each other, and how
long its training will take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UserError, one_line
from ..progress import duration
from .output import counted, say

if TYPE_CHECKING:
    from ..pipeline.expected_training import ExpectedTraining
    from ..pipeline.parts import RunParts
    from ..pipeline.session import Session
    from ..pipeline.too_long import Refused
    from .check_prompts import Reader


def examples_refused(parts: RunParts, reader: Reader) -> dict[str, Refused]:
    """By role, the examples that cannot be used with the backbone, found without its weights.

    Raises DataError for audio and images that cannot be used, unless the recipe leaves them out.
    """
    from ..pipeline.check_media import check_media
    from ..pipeline.too_long import refused_to_ask, refused_to_train
    from ..pipeline.window_limit import limit_windows

    backbone: Any = reader
    parts.head.backbone = backbone
    check_media(parts, backbone.tokenizer, backbone.context)
    limit_windows(parts)
    found = refused_to_ask(parts)
    if parts.adaptation.trains:
        found["train"] = refused_to_train(parts)
    return found


def refuse_examples(parts: RunParts, refused: Mapping[str, Refused]) -> None:
    """Raises DataError if the run will refuse these examples, or choices that the tokenizer cannot tell apart."""
    from ..pipeline.bind import check_choices
    from ..pipeline.too_long import refuse_or_skip

    refuse_or_skip(parts, refused)
    check_choices(parts)


def check_model(session: Session, parts: RunParts, *, examples_checked: bool) -> None:
    """Load the model if only that shows whether the run will begin, and print how long its training will take.

    The model is loaded for a recipe that trains, that uses the trained head or encoder of a run, or whose tokenizer
    comes with the weights. Other models' weights are checked, but not read. Nothing is downloaded.

    ``examples_checked``: whether it is known if the backbone can read the examples. Raises UserError for parts that do
    not fit.
    """
    from ..pipeline.expected_training import expect_training
    from ..pipeline.too_long import refuse_or_skip, refused_to_train
    from ..training.trackers import check_trackers

    trains = parts.adaptation.trains
    missing = parts.to_download(session.plugins)
    if missing is not None:
        left_out = "steps, tokens and time are" if trains else "whether the model fits the recipe is"
        say(f"{left_out} unknown until {missing} is downloaded: gpttasks run downloads it")
        return
    check_trackers(parts.recipe.runtime.trackers)
    try:
        device, precision = session.set_up(parts.recipe.runtime)
    except UserError as error:  # the recipe may be meant for another machine
        what = (
            "training: steps, tokens and time are not estimated here"
            if trains
            else "this machine cannot carry out the run"
        )
        say(f"{what}: {one_line(error)}")
        return
    backbone = parts.backbone.underlying(session.plugins)
    unread = not examples_checked and backbone.trainable
    if not trains and not unread and not _uses_trained_parts(parts):
        backbone.check_weights()
        return
    say("training: loading the model to measure its speed" if trains else "loading the model to check that it fits")
    with session.loaded(_fresh_parts(session, parts), device, precision) as prepared:
        if not trains:
            return
        if not examples_checked:
            refuse_or_skip(prepared, {"train": refused_to_train(prepared)})
        expected = expect_training(prepared)
    for line in _lines(expected, parts, f"{device}, {precision}"):
        say(line)


def _uses_trained_parts(parts: RunParts) -> bool:
    """Whether the backbone is a run whose trained head or encoder is used: only its weights show whether they fit."""
    from ..backbones.run import RunBackbone

    return isinstance(parts.backbone, RunBackbone) and (parts.encoder is not None or parts.head.needs_training)


def _lines(expected: ExpectedTraining, parts: RunParts, machine: str) -> Iterator[str]:
    from ..pipeline.expected_training import FEW_STEPS, few_steps_text

    work, options = expected.work, parts.recipe.train
    assert options is not None
    yield f"training: {work.text}, about {duration(expected.seconds)} on this machine ({machine})"
    yield (
        f"  the time is extrapolated from {counted(expected.measured_tokens, 'token')} of training examples, "
        "measured now; loading, validation and scoring are not included"
    )
    if work.steps < FEW_STEPS:
        about = "" if work.exact else "about "
        yield f"warning: the training will have {about}{few_steps_text(work.steps, options)}"


def _fresh_parts(session: Session, parts: RunParts) -> RunParts:
    """New components with the same examples: head and encoder were bound to a tokenizer without a model."""
    fresh = session.parts(parts.recipe)
    fresh.sets, fresh.shots = parts.sets, parts.shots
    return fresh
