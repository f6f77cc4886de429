"""``check --data``: how long the training of a recipe will take, and whether its parts fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import UserError, one_line
from ..pipeline.expected_training import FEW_STEPS, expect_training, few_steps_text
from ..progress import duration
from .output import counted, say

if TYPE_CHECKING:
    from ..pipeline.expected_training import ExpectedTraining
    from ..pipeline.parts import RunParts
    from ..pipeline.session import Session


def say_training(session: Session, parts: RunParts) -> None:
    """Print the expected steps, tokens and time of the training, measured with the model.

    The model is loaded only for a recipe that trains, and only if nothing has to be downloaded. For other recipes,
    whether the tokenizer fits the model is checked from the model's config. Raises UserError for parts that do not fit.
    """
    backbone = parts.backbone.underlying(session.plugins)
    trains = parts.adaptation.trains and parts.recipe.train is not None
    missing = backbone.to_download() or (parts.encoder.to_download() if parts.encoder is not None else None)
    if missing is not None:
        left_out = "whether the tokenizer fits the model is" if not trains else "steps, tokens and time are"
        say(f"{left_out} unknown until {missing} is downloaded: gpttasks run downloads it")
        return
    backbone.load_tokenizer()
    if not trains:
        return
    try:
        device, precision = session.set_up(parts.recipe.runtime)
    except UserError as error:  # the recipe may be meant for another machine
        say(f"training: steps, tokens and time are not estimated here: {one_line(error)}")
        return
    say("training: loading the model to measure its speed")
    with session.loaded(_fresh_parts(session, parts), device, precision) as prepared:
        expected = expect_training(prepared)
    for line in _lines(expected, parts, f"{device}, {precision}"):
        say(line)


def _lines(expected: ExpectedTraining, parts: RunParts, machine: str) -> Iterator[str]:
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
    """New components with the same examples, since ``--show`` gives the head a tokenizer without a model."""
    fresh = session.parts(parts.recipe)
    fresh.sets, fresh.shots = parts.sets, parts.shots
    return fresh
