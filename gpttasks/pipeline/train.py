"""The training stage: items, the loop with its validation, and what is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..backbones.run import RunBackbone
from ..errors import DataError, PluginError, UserError
from ..example import Example, prompt_text
from ..files import atomic_folder
from ..item import Item
from ..model.folder import dtype_name
from ..progress import Progress
from ..records.folder import ADAPTER, CHECKPOINTS
from ..records.sections import TrainingRecord, sides_cut
from ..training.checkpoint import run_identity
from ..training.items import LazyItems
from ..training.plan import different_items
from ..training.state import TrainingState
from ..training.trainer import Trainer, TrainerSettings
from .accelerator import tracked_accelerator
from .active_run import ActiveRun
from .answering import answer_all, quick_scores, with_their_shots
from .check_saved import use_what_was_saved
from .expected_training import FEW_STEPS, TimeLeft, expected_work, few_steps_text
from .parts import PreparedRun
from .special_token_warnings import spelt_tokens_warning
from .too_long import doubtful_to_train, refuse_or_skip, refused_examples
from .trained_files import save_encoder, save_head
from .tune import tune_after_training

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..recipe.schema import TrainOptions


def train(run: ActiveRun, prepared: PreparedRun) -> None:
    """Train head and adaptation, from the last checkpoint if there is one, and save them in the run folder."""
    lm = prepared.backbone.lm
    assert lm is not None
    options = prepared.recipe.train
    assert options is not None
    items, owners = make_items(prepared)
    run.note_too_long(prepared, "train")
    accelerator = tracked_accelerator(run, prepared)
    warn_of_dropout(run, prepared)
    spelt = spelt_tokens_warning(prepared, prepared.sets["train"].examples, "training")
    if spelt:
        run.warn(spelt)
    with stop_on_interrupt(run) as stop_requested:
        settings = _settings(run, prepared, accelerator, stop_requested)
        trainer = Trainer(lm, prepared.head, options, accelerator, settings, prepared.modules())
        trained = sum(parameter.numel() for parameter in trainer.parameters.values())
        if trainer.resume_point is not None:
            run.say(f"going on from {trainer.resume_point.file}")
        else:
            run.folder.keep_events_until(0)
        work = expected_work(items, len(items), options).text
        run.say(f"training {trained:,} parameters on {len(items):,} items, in {work}")
        with kept_if_a_plugin_fails(trainer):
            state = trainer.fit(items)
    accelerator.end_training()
    with computing_as_scored(prepared):
        tune_after_training(prepared)
    note_training(run, prepared, state, owners, trained)
    warn_of_little_training(run, options)
    save_trained(run, prepared)
    del trainer  # with Adam's moments, before the weights are loaded
    accelerator.free_memory()
    use_what_was_saved(run, prepared)
    if prepared.adaptation.keeps:
        check_trained_model(run, prepared)


def check_trained_model(run: ActiveRun, prepared: PreparedRun) -> None:
    """Repeat the model's self-tests. Report and record what fails with the trained weights and is switched off."""
    from ..model.self_tests import repeat_self_tests

    lm = prepared.backbone.lm
    assert lm is not None
    lost = repeat_self_tests(lm)
    for reason in lost:
        run.warn(f"switched off for the trained model: {reason}")
    if lost and run.record.backbone is not None:
        run.record.backbone.capabilities = prepared.backbone.capabilities()


@contextmanager
def kept_if_a_plugin_fails(trainer: Trainer) -> Iterator[None]:
    """Save a checkpoint if a plugin's error stops the training, so that no finished step is lost."""
    try:
        yield
    except PluginError:
        if trainer.state.step:
            trainer.keep()
        raise


def warn_of_dropout(run: ActiveRun, prepared: PreparedRun) -> None:
    """Warn if dropout is on: it is drawn per micro-batch, so their size affects the trained weights."""
    recipe = prepared.recipe
    parts = {"train": recipe.train, "adapt": recipe.adapt.options, "head": recipe.head.options}
    names = [f"{name}.dropout" for name, options in parts.items() if getattr(options, "dropout", 0)]
    if names:
        run.warn(f"{' and '.join(names)} is on, so runtime.tokens_per_batch affects the trained weights")


def make_items(prepared: PreparedRun) -> tuple[Sequence[Item], Sequence[int]]:
    """The items of the training examples, and the place of each one's example.

    If each example makes exactly one item, only items that may be refused are made now. Those that are too long are
    skipped if the recipe says so.

    Raises UserError if there are none, DataError for an example that does not fit the context or cannot be used.
    """
    make = _items_made_later if prepared.head.one_item else _all_items
    items, owners = make(prepared, prepared.sets["train"].examples)
    if not items:
        count = len(prepared.sets["train"].examples)
        raise UserError(f"head {prepared.head.name!r} made no training items from {count} examples")
    return items, owners


def _items_made_later(prepared: PreparedRun, examples: Sequence[Example]) -> tuple[Sequence[Item], Sequence[int]]:
    items = LazyItems(prepared.head, examples)
    doubtful = doubtful_to_train(prepared.head, examples)
    places = {examples[place].id: place for place in doubtful}
    if not doubtful:
        return items, range(len(examples))
    # Now, so that errors come before the training.
    refused = refused_examples([examples[place] for place in doubtful], lambda one: items[places[one.id]].tokens)
    refuse_or_skip(prepared, {"train": list(refused)})
    skipped = prepared.too_long.get("train", {})
    kept = [place for place, example in enumerate(examples) if example.id not in skipped]
    return items.only(kept), kept


def _all_items(prepared: PreparedRun, examples: Sequence[Example]) -> tuple[Sequence[Item], Sequence[int]]:
    items: list[Item] = []
    owners: list[int] = []
    refused: list[tuple[Example, DataError]] = []
    lengths = [len(prompt_text(example.prompt)) for example in examples]  # of a review or of a whole book
    with Progress("tokenising", sum(lengths), "characters") as progress:
        for place, (example, length) in enumerate(zip(examples, lengths, strict=True)):
            new: list[Item] = []
            try:
                new = list(prepared.head.items(example))
            except DataError as error:
                refused.append((example, error))
            items += new
            owners += [place] * len(new)
            progress.advance(length, sum(item.tokens for item in new))
    refuse_or_skip(prepared, {"train": refused})
    return items, owners


def warn_of_little_training(run: ActiveRun, options: TrainOptions) -> None:
    """Warn of a training with few steps, or whose loss has not fallen from its first to its last quarter."""
    steps = run.record.training.step if run.record.training else 0
    if steps < FEW_STEPS:
        run.warn(f"the training had {few_steps_text(steps, options)}")
        return
    losses = [event["loss"] for event in run.folder.events() if event["event"] == "step"]
    quarter = len(losses) // 4
    if quarter and fmean(losses[-quarter:]) >= fmean(losses[:quarter]):
        run.warn(
            f"the loss did not fall: {fmean(losses[:quarter]):.3f} in the first quarter of the training, "
            f"{fmean(losses[-quarter:]):.3f} in the last; try another train.learning_rate"
        )


def note_training(
    run: ActiveRun, prepared: PreparedRun, state: TrainingState, owners: Sequence[int], trained: int
) -> None:
    """Write down how the training went, and say on how many examples, and how many items had to be cut.

    ``owners`` is the place of each item's example.
    """
    items, available = len(owners), len(prepared.sets["train"].examples)
    used = {owners[index] for index in different_items(items, prepared.recipe.seed, state.seen)}
    run.record.training = TrainingRecord(
        **asdict(state), items=items, trained_parameters=trained, examples=available, examples_seen=len(used)
    )
    steps = f"{state.step:,} step" if state.step == 1 else f"{state.step:,} steps"
    run.say(f"trained on {len(used):,} of {available:,} examples in {steps}")
    run.record.samples.train_truncated = state.cut
    run.record.samples.train_truncated_at_start = state.cut_at_start
    options = prepared.recipe.train
    if options is not None and not state.stopped_early and options.warmup >= 1 and options.warmup >= state.step:
        run.warn(
            f"train.warmup is {options.warmup:g} steps, and the training had {state.step:,}: the learning rate rose "
            "to the end of the training; give fewer steps, or a fraction below 1"
        )
    if state.cut:
        run.warn(
            f"{state.cut:,} of {min(state.seen, items):,} training items were longer than the context of "
            f"{prepared.backbone.context} tokens; their passages were cut{sides_cut(state.cut, state.cut_at_start)}"
        )


def _settings(
    run: ActiveRun, prepared: PreparedRun, accelerator: Accelerator, stop_requested: threading.Event
) -> TrainerSettings:
    recipe = prepared.recipe
    validation = recipe.train.validate_ if recipe.train else None
    time_left = TimeLeft()

    def validate() -> dict[str, float]:
        with time_left.paused():
            return _validate(prepared)

    def resumed(step: int) -> None:
        if (warning := run.folder.keep_events_until(step)) is not None:
            run.warn(warning)

    best = validation.best if validation else None
    return TrainerSettings(
        seed=recipe.seed,
        checkpoints=run.folder / CHECKPOINTS,
        log=partial(_log, run, accelerator, time_left),
        stop_asked=stop_requested.is_set,
        validate=validate if validation else None,
        best_is_higher=prepared.metrics[best].higher_is_better if best else True,
        tokens_per_batch=recipe.runtime.tokens_per_batch,
        checkpoint_minutes=recipe.runtime.checkpoint_minutes,
        resumed=resumed,
        identity=run_identity(run.record.digest, run.record.id, run.record.began_with),
        warn=run.warn,
    )


def _log(run: ActiveRun, accelerator: Accelerator, time_left: TimeLeft, event: dict[str, Any]) -> None:
    """Write an event of the training to the log, and pass it on to hooks and trackers."""
    run.folder.log(event)
    if event["event"] == "step":
        if (announced := time_left.after_step(event["step"], event["done"])) is not None:
            run.say(announced)
        values = {name: value for name, value in event.items() if isinstance(value, (int, float))}
        run.call_hook("gpttasks_logged", step=event["step"], values=values)
    elif event["event"] == "validation":
        run.call_hook("gpttasks_validated", step=event["step"], scores=event["scores"])
        run.say(f"step {event['step']}: " + ", ".join(_score_text(*score) for score in event["scores"].items()))
        values = {name: value for name, value in event["scores"].items() if value is not None}
    else:
        return
    accelerator.log(
        {("train/" if event["event"] == "step" else "validation/") + name: value for name, value in values.items()},
        step=event["step"],
    )


def _score_text(name: str, value: float | None) -> str:
    return f"{name} undefined" if value is None else f"{name} {value:.4f}"


def _validate(prepared: PreparedRun) -> dict[str, float]:
    """The scores on the validation examples."""
    examples = prepared.sets["validation"].examples
    score = prepared.recipe.score
    asked = with_their_shots(prepared, examples)
    metrics = {use.key: prepared.metrics[use.key] for use in score.metrics if use.baseline is None}
    with computing_as_scored(prepared):
        skipped = prepared.too_long.get("validation", {})
        answered = answer_all(prepared.head, prepared.engine, examples, asked, "validating", skipped)
        return quick_scores(metrics, answered)


@contextmanager
def computing_as_scored(prepared: PreparedRun) -> Iterator[None]:
    """The precision of the run for validation and tuning, also where the trained weights are kept in fp32."""
    import torch

    assert prepared.backbone.lm is not None
    if not prepared.adaptation.trains_weights:  # the weights are in that precision, and adapters stay as PEFT has them
        yield
        return
    with prepared.backbone.lm.computing_in(getattr(torch, dtype_name(prepared.precision))):
        yield


def save_trained(run: ActiveRun, prepared: PreparedRun) -> None:
    """Write the adaptation's folder and the head's modules and settings."""
    backbone = prepared.backbone
    assert backbone.lm is not None
    if prepared.adaptation.keeps:
        with atomic_folder(run.folder / prepared.adaptation.keeps) as folder:
            prepared.adaptation.save(backbone.lm, folder)
    if prepared.adaptation.keeps == ADAPTER and isinstance(backbone, RunBackbone) and backbone.has_adapter:
        run.warn(
            f"the adapter was trained on the merged weights of {backbone.options.path}; "
            "for other tools write the whole model with gpttasks export --merged"
        )
    for note in prepared.adaptation.notes:
        run.warn(note)
    save_head(prepared.head, run.folder)
    if prepared.encoder is not None:
        save_encoder(prepared.encoder, run.folder)


@contextmanager
def stop_on_interrupt(run: ActiveRun) -> Iterator[threading.Event]:
    """The first Ctrl-C stops the training after the current step, so that no work is lost; the second at once."""
    stop_requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop_requested  # signals can only be taken in the main thread
        return

    def handler(number: int, frame: Any) -> None:
        if stop_requested.is_set():
            raise KeyboardInterrupt
        stop_requested.set()
        run.say("stopping after this step (press Ctrl-C again to stop at once)")

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield stop_requested
    finally:
        signal.signal(signal.SIGINT, before)
