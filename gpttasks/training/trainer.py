"""The training loop, from items to trained weights; each step depends on the seed and its number only."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.batches import default_tokens
from ..errors import Interrupted, RunFailed, UserError
from ..hashing import seeded_hash
from ..heads.base import Head
from ..item import Item, rows_of_items
from ..model.causal_lm import CausalLM
from ..progress import Progress
from .checkpoint import LAST, saved_buffers, trained_parameters
from .kept_states import KeptStates
from .plan import Plan, learning_rate, micro_batches
from .resume_point import find_resume_point
from .state import TrainingState

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import nn

    from ..recipe.schema import TrainOptions


@dataclass(frozen=True)
class TrainerSettings:
    """The settings of the trainer in addition to the recipe's ``train`` section.

    checkpoints:
        The folder for ``last.safetensors``, ``previous.safetensors`` and ``best.safetensors``.
    identity:
        Any text that identifies the run; checkpoints with another one are not used.
    warn:
        Called with each problem of a checkpoint in spite of which the training goes on.
    validate:
        Returns the metrics on the validation examples by key; None without validation.
    best_is_higher:
        Whether a higher value of the ``validate.best`` metric is better.
    log:
        Called with each event, a mapping of JSON values.
    stop_asked:
        Whether the user asked to stop; called after every step.
    resumed:
        Called with the step from which training resumes, so that later log entries can be dropped.
    """

    seed: int
    checkpoints: Path
    log: Callable[[dict[str, Any]], None]
    stop_asked: Callable[[], bool] = lambda: False
    resumed: Callable[[int], None] = lambda step: None
    validate: Callable[[], Mapping[str, float]] | None = None
    best_is_higher: bool = True
    tokens_per_batch: int | None = None
    checkpoint_minutes: float = 10.0
    identity: str = ""
    warn: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Speed:
    """The speed of a training: the seconds per token and per update of the weights, measured on ``tokens`` tokens."""

    tokens: int
    seconds_per_token: float
    seconds_per_update: float


class Trainer:
    """Trains the weights that the adaptation has marked, and the head's modules, with AdamW and Accelerate."""

    def __init__(
        self,
        backbone: CausalLM,
        head: Head,
        options: TrainOptions,
        accelerator: Accelerator,
        settings: TrainerSettings,
        modules: nn.ModuleDict | None = None,
    ) -> None:
        """``modules``: the modules to train beside the backbone; None trains those of the head."""
        import torch

        self.backbone, self.head, self.options, self.settings = backbone, head, options, settings
        self.accelerator = accelerator
        self.modules = head.modules() if modules is None else modules
        self.parameters = trained_parameters(backbone.model, self.modules)
        if not self.parameters:
            raise UserError(
                f"there is nothing to train: the backbone is frozen, and the head {head.name!r} has no modules",
                hint="choose another adaptation or another head",
            )
        decayed = [value for value in self.parameters.values() if value.dim() > 1]
        others = [
            value for value in self.parameters.values() if value.dim() <= 1
        ]  # biases and norms have no weight decay
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.raw_optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=options.learning_rate, betas=options.betas
        )
        self.optimizer = accelerator.prepare(self.raw_optimizer)
        self.tokens_per_batch = settings.tokens_per_batch or default_tokens(str(backbone.device))
        self.state = TrainingState()
        self.resume_point = find_resume_point(settings.checkpoints, settings.identity)
        self.kept = KeptStates(
            settings.checkpoints,
            settings.identity,
            self.parameters,
            saved_buffers(backbone.model, self.modules),
            self.raw_optimizer,
        )

    @property
    def last_checkpoint(self) -> Path:
        """The file of the latest state."""
        return self.settings.checkpoints / LAST

    def fit(self, items: Sequence[Item]) -> TrainingState:
        """Train on the items, from the last checkpoint if there is one.

        Raises RunFailed for a loss or gradient that is not finite, with its step, and Interrupted if the user asked to
        stop; both after saving a checkpoint of the last good weights.
        """
        options = self.options
        self.plan = plan = Plan(
            len(items), options.tokens_per_step, self.settings.seed, epochs=options.epochs, steps=options.steps
        )
        self._resume()
        if self.state.owes_validation:
            self._validate()
            self._save()
        last_saved = time.monotonic()
        by_items = plan.total_items is not None
        with Progress("training", plan.total_items or options.steps or 0, "items" if by_items else "steps") as progress:
            progress.resume(self.state.seen if by_items else self.state.step)
            while not self._done() and not self.state.stopped_early:
                step = plan.next_step(self.state.seen, lambda index: items[index].tokens)
                tokens = self._step([items[index] for index in step])
                progress.note(f"step {self.state.step:,}, loss {self.state.loss:.3f}")
                progress.advance(len(step) if by_items else 1, tokens)
                self.state.owes_validation = self._validates_now(len(step))
                if self.state.owes_validation:
                    self._validate()
                    last_saved = self._save()
                elif time.monotonic() - last_saved > 60 * self.settings.checkpoint_minutes:
                    last_saved = self._save()
                if self.settings.stop_asked() and not self._done():
                    self._save()
                    raise Interrupted(
                        f"stopped after step {self.state.step}, {self._share():.0%} of the training; "
                        "the same command resumes it"
                    )
        self._save()
        self.kept.load_best(self.state)
        return self.state

    def measure(self, items: Sequence[Item], seconds: float) -> Speed:
        """The speed of the training, measured for about ``seconds`` on micro-batches of some items, at least one.

        The learning rate is 0, so no weight changes, and the buffers get their values back.
        """
        self.kept.begin_step()
        try:
            return self._measure(items, seconds)
        finally:
            self.kept.undo_unfinished_step()

    def _measure(self, items: Sequence[Item], seconds: float) -> Speed:
        for group in self.raw_optimizer.param_groups:
            group["lr"] = 0.0
        self._train_mode()
        sums: dict[str, float] = defaultdict(float)
        self._backward(list(items[:1]), counts_of(items[:1]), sums)  # the first step takes longer: it allocates memory
        self._timed_update()
        plan = Plan(len(items), self.options.tokens_per_step, self.settings.seed, steps=1)
        seen, tokens, spent = 0, 0, 0.0
        updates: list[float] = []
        while spent < seconds:
            step = [items[index] for index in plan.next_step(seen, lambda index: items[index].tokens)]
            seen += len(step)
            batches = list(micro_batches(step, self.tokens_per_batch))
            middle = len(batches) // 2  # the first ones have the longest rows, so begin with those of typical length
            for batch in batches[middle:] + batches[:middle]:
                began = time.perf_counter()
                self._backward(batch, counts_of(step), sums)
                spent += time.perf_counter() - began
                tokens += sum(item.tokens for item in batch)
                if spent >= seconds:
                    break
            updates.append(self._timed_update())
        return Speed(tokens, spent / tokens, sum(updates) / len(updates))

    def _timed_update(self) -> float:
        """Update the weights with the current learning rate; returns the seconds."""
        began = time.perf_counter()
        if self.options.clip:
            self.accelerator.clip_grad_norm_(list(self.parameters.values()), self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        float(next(iter(self.parameters.values())).detach().flatten()[0])  # waits until a GPU has finished
        return time.perf_counter() - began

    def _resume(self) -> None:
        if (point := self.resume_point) is not None:
            self.state = self.kept.load(point)
            for problem in point.problems:
                self.settings.warn(f"{problem}; the training goes on from {point.file}, step {point.header.step}")
            if self.accelerator.scaler is not None and self.state.loss_scaler:
                self.accelerator.scaler.load_state_dict(self.state.loss_scaler)
            self.state.resumed_at.append(self.state.step)
            self.settings.resumed(self.state.step)
        self._began = time.monotonic() - self.state.seconds

    def _share(self) -> float:
        """The share of the training that is done, from 0 to 1."""
        return self.plan.share(self.state.step, self.state.seen)

    def _done(self) -> bool:
        return self._share() >= 1

    def _validates_now(self, items: int) -> bool:
        """Whether validation is due after a step of ``items`` items: at its interval or once per epoch, and last."""
        validate = self.options.validate_
        if self.settings.validate is None or validate is None:
            return False
        if validate.every:
            due = self.state.step % validate.every == 0
        else:
            due = (self.state.seen - items) // self.plan.items != self.state.seen // self.plan.items
        return due or self._done()

    def _step(self, items: list[Item]) -> int:
        """One optimiser step; losses are divided by their counts in the whole step. Returns the tokens of the step."""
        number = self.state.step
        counts = counts_of(items)
        sums: dict[str, float] = defaultdict(float)
        self._train_mode()
        self.kept.begin_step()
        for index, batch in enumerate(micro_batches(items, self.tokens_per_batch)):
            self._seed_dropout(number, index)
            self._backward(batch, counts, sums)
        losses = {name: sums[name] / count for name, count in counts.items()}
        loss = math.fsum(losses.values())
        if not math.isfinite(loss):
            raise self._diverged(f"the loss of step {number + 1} is {loss}: {losses}")
        rate, norm = self._update(len(items))
        self.kept.end_step()
        self._account(loss, losses, rate, norm, items)
        return sum(item.tokens for item in items)

    def _train_mode(self) -> None:
        self.backbone.train_mode(self.options.dropout)
        if self.modules is not None:
            self.modules.train()

    def _update(self, items: int) -> tuple[float, float | None]:
        """Clip the gradients and update the weights; returns the learning rate and the norm before clipping."""
        norm = None
        state, options = self.state, self.options
        if options.clip:
            norm = float(self.accelerator.clip_grad_norm_(list(self.parameters.values()), options.clip))
            # With fp16 the loss scaler skips steps with an overflow.
            if not math.isfinite(norm) and self.accelerator.scaler is None:
                raise self._diverged(f"the gradient of step {state.step + 1} has the norm {norm}")
        rate, state.warmed = learning_rate(
            state.step,
            self._share(),
            self.plan.share(state.step + 1, state.seen + items),
            state.warmed,
            peak=options.learning_rate,
            warmup=options.warmup,
            schedule=options.schedule,
        )
        for group in self.raw_optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return rate, norm

    def _diverged(self, message: str) -> RunFailed:
        self._save()
        return RunFailed(
            message,
            hint="lower train.learning_rate, set train.clip, or use runtime.precision=fp32; "
            f"the weights before that step are in {self.last_checkpoint}",
        )

    def _backward(self, batch: list[Item], counts: Mapping[str, int], sums: dict[str, float]) -> None:
        with self.accelerator.autocast():
            rows = rows_of_items(batch)
            outputs = self.backbone.forward([row.ids for row in rows], {row.layer for row in rows})
            losses = self.head.loss(outputs, batch)
        unknown = sorted(set(losses) - set(counts))
        if unknown:
            raise RunFailed(f"head {self.head.name!r} returned the loss {unknown[0]!r}, for which no item has a count")
        total: torch.Tensor = sum(value / counts[name] for name, value in losses.items())  # type: ignore[assignment]
        self.accelerator.backward(total)
        for name, value in losses.items():
            sums[name] += float(value.detach())

    def _seed_dropout(self, step: int, batch: int) -> None:
        """Dropout depends on the number of the step, not on earlier draws: a resumed run continues identically."""
        import torch

        torch.manual_seed(seeded_hash(self.settings.seed, "dropout", str(step), str(batch)) >> 1)

    def _account(
        self, loss: float, losses: Mapping[str, float], rate: float, norm: float | None, items: list[Item]
    ) -> None:
        state = self.state
        state.step += 1
        state.cut += sum(item.cut.tokens > 0 for item in items) if state.seen < self.plan.items else 0
        state.cut_at_start += sum(item.cut.at_start > 0 for item in items) if state.seen < self.plan.items else 0
        state.seen += len(items)
        state.tokens += sum(item.tokens for item in items)
        state.seconds = time.monotonic() - self._began
        state.loss = loss
        self.settings.log(
            {
                "event": "step",
                "step": state.step,
                "done": round(self._share(), 6),
                "loss": loss,
                **({f"loss_{name}": value for name, value in losses.items()} if len(losses) > 1 else {}),
                "learning_rate": rate,
                "gradient_norm": norm if norm is None or math.isfinite(norm) else None,
                "tokens": state.tokens,
                "seconds": round(state.seconds, 3),
            }
        )

    def _validate(self) -> None:
        """Score the validation examples, keep the best weights, and stop when the patience is exhausted."""
        assert self.settings.validate is not None
        assert self.options.validate_ is not None
        scores = dict(self.settings.validate())
        state, validate = self.state, self.options.validate_
        state.owes_validation = False
        finite = {name: value if math.isfinite(value) else None for name, value in scores.items()}
        self.settings.log({"event": "validation", "step": state.step, "scores": finite})
        if validate.best is None:
            return
        value = scores[validate.best]
        # An undefined score (NaN) is never better: it compares as neither greater nor less.
        sign = 1 if self.settings.best_is_higher else -1
        if not math.isnan(value) and (state.best_value is None or sign * value > sign * state.best_value):
            state.best_value, state.best_step, state.bad_validations = value, state.step, 0
            self.kept.is_new_best = True
            return
        state.bad_validations += 1
        if validate.patience is not None and state.bad_validations >= validate.patience:
            state.stopped_early = True
            self.settings.log({"event": "early stop", "step": state.step, "best_step": state.best_step})

    def keep(self) -> None:
        """Save the state after the last finished step, also in the middle of the next one."""
        self._save()

    def _save(self) -> float:
        self.kept.undo_unfinished_step()
        self.state.seconds = time.monotonic() - self._began
        scaler = self.accelerator.scaler
        self.state.loss_scaler = None if scaler is None else scaler.state_dict()
        self.kept.save(self.state)
        return time.monotonic()


def counts_of(items: Sequence[Item]) -> Counter[str]:
    """The divisor of each sum of losses, by the name of the loss."""
    counts: Counter[str] = Counter()
    for item in items:
        counts.update(item.counts)
    return counts
