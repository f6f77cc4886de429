"""What a resolved recipe holds: every key of the core with its type, default and description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

from ..component import Options
from ..data.sources import Role, SplitOptions

NO_ADAPTATION = "none"

# What a run's folder and a sample's column can be called on every system.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class Section(BaseModel):
    """A part of the recipe that belongs to the core. Strict: ``true`` is no number, ``"3"`` no integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Use(Section):
    """A component by its name, with its options."""

    name: str = Field(description="the registered name")
    options: SerializeAsAny[Options] = Field(description="its options, as its class declares them")


class MetricUse(Use):
    """A metric, and the key under which its score is reported."""

    key: str = Field(pattern=KEY_PATTERN, description="the score's key in run.json; the metric's name if not given")
    baseline: str | None = Field(None, description="score what this baseline answers, instead of the model")


class ValidateOptions(Section):
    """When to validate while training, and what to do about it."""

    every: int | None = Field(None, ge=1, description="steps between validations; null is once an epoch")
    limit: int | None = Field(500, ge=1, description="how many validation examples to score; null is all")
    best: str | None = Field(
        None, description="the key of the metric whose best validation is kept; null keeps the last"
    )
    patience: int | None = Field(None, ge=1, description="stop after so many validations in a row without a new best")

    @model_validator(mode="after")
    def _patience_needs_best(self) -> ValidateOptions:
        if self.patience is not None and self.best is None:
            raise ValueError("patience: it counts validations without a new best, so `best` must name a metric")
        return self


class TrainOptions(Section):
    """How to train."""

    epochs: float | None = Field(1.0, gt=0, description="passes over the training examples; null where steps are given")
    steps: int | None = Field(None, ge=1, description="optimiser steps, instead of epochs")
    limit: int | None = Field(None, ge=1, description="how many training examples to use, drawn by hash; null is all")
    learning_rate: float = Field(2e-4, gt=0, description="the highest learning rate")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="how the learning rate falls after the warm-up"
    )
    warmup: float = Field(0.05, ge=0, description="a fraction of all steps if below 1, else a number of steps")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW, on matrices")
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]], Field(strict=False)
    ] = Field((0.9, 0.999), description="of AdamW")
    clip: float | None = Field(1.0, gt=0, description="the largest norm of the gradient; null does not clip")
    dropout: bool = Field(
        False,
        description="leave the backbone's own dropout on; it is drawn for each micro-batch, so that "
        "runtime.tokens_per_batch moves what is learned",
    )
    tokens_per_step: int = Field(8192, ge=1, description="tokens per optimiser step, over all processes")
    # Pydantic's models have a method called validate, so the field must not.
    validate_: ValidateOptions | None = Field(None, alias="validate", description="validation; null is none")

    @model_validator(mode="before")
    @classmethod
    def _steps_stand_for_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("steps") is not None and "epochs" not in data:
            return {**data, "epochs": None}
        return data

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> TrainOptions:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("steps: give epochs or steps, not both; with steps write epochs: null")
        if self.epochs is None and self.steps is None:
            raise ValueError("epochs: give epochs or steps, both are null")
        return self


class ScoreOptions(Section):
    """How to score."""

    split: Role = Field("test", description="the role of the split to score")
    shots: int = Field(0, ge=0, description="solved examples in front of every prompt")
    shots_from: Literal["train", "validation", "pool"] = Field(
        "train", description="where shots come from; pool is held out of the scored split and never scored"
    )
    limit: int | None = Field(None, ge=1, description="how many examples to score, drawn by hash; null is all")
    metrics: tuple[MetricUse, ...] = Field(min_length=1, description="what to compute; the keys are unique")
    level: float = Field(0.95, gt=0, lt=1, description="the level of the intervals")
    resamples: int = Field(1000, ge=1, description="bootstrap resamples for an interval")


class RuntimeOptions(Section):
    """How to compute; outside the digest, precision excepted."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="of the computation")
    device: str = Field("auto", pattern=r"^[a-z]+(:\d+)?$", description="auto, cpu, cuda, cuda:0, mps, ...")
    tokens_per_batch: int | None = Field(None, ge=1, description="tokens per forward pass; null chooses")
    sharing: bool = Field(
        True, description="read what prompts have in common once; false reads each alone: slower, the same numbers"
    )
    cache: bool = Field(
        True, description="keep replies outside the run (in GPTTASKS_CACHE, or the user's cache) and ask none twice"
    )
    checkpoint_minutes: float = Field(10.0, gt=0, description="the longest time between checkpoints")
    trackers: list[str] = Field([], description="Accelerate's trackers to log to, such as tensorboard")
    threads: int | None = Field(None, ge=1, description="threads of the CPU; null leaves the choice to torch")
    processes: int | None = Field(
        None, ge=1, description="processes that torchrun has to have started; null takes as many as it started"
    )


class Identity(Section):
    """The keys of the recipe that are single values."""

    name: str = Field(pattern=NAME_PATTERN, max_length=100, description="of the run; the file's name if not given")
    seed: int = Field(1, ge=0, lt=2**32, description="of hold-outs, limits, shots, order and initial weights")


class Recipe(Identity):
    """A resolved recipe: all names are known, all options checked, all paths absolute."""

    backbone: Use
    encoder: Use | None = None
    task: Use
    data: SerializeAsAny[SplitOptions]
    head: Use
    adapt: Use
    train: TrainOptions | None
    score: ScoreOptions
    runtime: RuntimeOptions = RuntimeOptions()
