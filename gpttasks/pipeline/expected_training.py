"""Estimates of a training: steps and tokens from the lengths of some items, and the time from a measured speed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..example import Example
from ..item import Item
from ..progress import duration
from ..training.plan import Plan
from ..training.trainer import Trainer, TrainerSettings
from .accelerator import make_accelerator
from .parts import PreparedRun

if TYPE_CHECKING:
    from ..recipe.schema import TrainOptions

FEW_STEPS = 20
"""A run with fewer optimiser steps than this gets a warning."""
SAMPLED = 64
"""The number of items, or of examples before their items are made, from which lengths are estimated."""
MEASURED_SECONDS = 3.0
"""How long :func:`measured_seconds` lets micro-batches run."""
ANNOUNCED_AFTER = 3.0
"""The seconds of measured steps after which a run announces how long the rest will take."""
LARGE_STEP = 0.1
"""The first step is measured too if it is at least this share of the training."""
SMALLEST_SHARE = 1e-5
"""The smallest share of the training to measure: events round the share to six decimals."""


@dataclass(frozen=True)
class ExpectedWork:
    """The estimated steps and tokens of a training; ``exact``: whether the recipe gives the number of steps."""

    steps: int
    tokens: int
    exact: bool

    @property
    def text(self) -> str:
        """``about 92 steps, about 95,940 tokens``."""
        about = "" if self.exact else "about "
        return f"{about}{self.steps:,} step{'' if self.steps == 1 else 's'}, about {self.tokens:,} tokens"


def expected_work(some: Sequence[Item], items: int, options: TrainOptions) -> ExpectedWork:
    """The work of a training on ``items`` items, estimated from the lengths of at most 64 of the items ``some``."""
    plan = Plan(items, options.tokens_per_step, 0, options.epochs, options.steps)
    steps, tokens = plan.estimate([some[place].tokens for place in _evenly_spaced(len(some))])
    return ExpectedWork(steps, tokens, exact=options.steps is not None)


def _evenly_spaced(count: int) -> range:
    """At most 64 of ``count`` places, evenly spaced."""
    return range(0, count, -(-count // SAMPLED))


def few_steps_text(steps: int, options: TrainOptions) -> str:
    """A warning about a training with fewer than 20 steps, without its subject."""
    return (
        f"{steps} optimiser step{'' if steps == 1 else 's'}, and fewer than {FEW_STEPS} seldom "
        f"change a model; lower train.tokens_per_step ({options.tokens_per_step:,}), or train longer"
    )


@dataclass(frozen=True)
class ExpectedTraining:
    """The work of a training, and the estimated seconds of its steps, measured on ``measured_tokens`` tokens."""

    work: ExpectedWork
    seconds: float
    measured_tokens: int


def expect_training(prepared: PreparedRun) -> ExpectedTraining:
    """Measure forward pass, backward pass and update on some training examples, with learning rate 0.

    Raises UserError if there is nothing to train on, and RunFailed for a head whose losses do not fit its items.
    """
    options, lm = prepared.recipe.train, prepared.backbone.lm
    assert options is not None
    assert lm is not None
    some, items = _some_items(prepared)
    work = expected_work(some, items, options)
    with tempfile.TemporaryDirectory() as folder:  # nothing is saved in it
        settings = TrainerSettings(
            seed=prepared.recipe.seed,
            checkpoints=Path(folder),
            log=lambda event: None,
            tokens_per_batch=prepared.recipe.runtime.tokens_per_batch,
        )
        accelerator = make_accelerator(prepared)
        trainer = Trainer(lm, prepared.head, options, accelerator, settings, prepared.modules())
        speed = trainer.measure(some, MEASURED_SECONDS)
        accelerator.free_memory()
    seconds = work.tokens * speed.seconds_per_token + work.steps * speed.seconds_per_update
    return ExpectedTraining(work, seconds, speed.tokens)


def _some_items(prepared: PreparedRun) -> tuple[list[Item], int]:
    """The items of some training examples, and about how many items all examples have.

    Raises DataError if no item can be made of any of them.
    """
    examples = prepared.sets["train"].examples
    some = [examples[place] for place in _evenly_spaced(len(examples))]
    made = [_items_of(prepared, example) for example in some]
    used = [items for items in made if not isinstance(items, DataError)]
    items = [item for items in used for item in items]
    if not items:
        refused = next((error for error in made if isinstance(error, DataError)), None)
        raise refused or DataError(f"head {prepared.head.name!r} made no training items from {len(some)} examples")
    return items, max(1, round(len(items) / len(used) * len(examples)))


def _items_of(prepared: PreparedRun, example: Example) -> list[Item] | DataError:
    """The items of an example, or why it has none: it may be too long, which the run will report."""
    try:
        return list(prepared.head.items(example))
    except DataError as error:
        return error


class TimeLeft:
    """Announces once, after the first steps of a training, how long the rest will take at their speed.

    The first step takes longer, so it is left out unless it is at least a tenth of the training. ``clock`` returns
    seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused = 0.0
        self._began = clock()
        self._measured: tuple[int, float, float] | None = None
        """The first step that is measured; the share of the training and the time before it."""
        self._announced = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out."""
        began = self._clock()
        yield
        self._paused += self._clock() - began

    def after_step(self, step: int, done: float) -> str | None:
        """The announcement, if it is due; ``done`` is the share of the training that is done after ``step``."""
        now = self._clock() - self._paused
        whole = (1, 0.0, self._began) if step == 1 and done >= LARGE_STEP else None
        measured, self._measured = self._measured or whole, self._measured or (step + 1, done, now)
        if measured is None or self._announced:
            return None
        first, before, since = measured
        if now - since < ANNOUNCED_AFTER or done - before < SMALLEST_SHARE or done >= 1:
            return None
        self._announced = True
        left = (now - since) / (done - before) * (1 - done)
        steps = f"step {step}" if first == step else f"steps {first} to {step}"
        return f"about {duration(left)} of training left, at the speed of {steps}; validation and scoring not included"
