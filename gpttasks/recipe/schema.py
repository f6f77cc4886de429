"""A resolved recipe: every key of the core with its type, default and description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

from ..component import Options
from ..data.options import Role, SplitOptions

NO_ADAPTATION = "none"

# What a run's folder and a sample's column can be called on every system.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class Section(BaseModel):
    """A section of the recipe that the core defines. Strict: ``true`` is not a number, ``"3"`` is not an integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Use(Section):
    """A component by its name, with its options."""

    name: str = Field(description="the registered name")
    options: SerializeAsAny[Options] = Field(description="its options, as its class declares them")


class MetricUse(Use):
    """A metric, and the key under which its score is reported."""

    key: str = Field(pattern=KEY_PATTERN, description="the key of the score in run.json")
    baseline: Use | None = Field(None, description="score the answers of this baseline instead of those of the model")


def default_key(metric: str, baseline: Use | None) -> str:
    """The key of a metric's score where the recipe gives none."""
    return metric if baseline is None else f"{metric}_{baseline.name}"


class ValidateOptions(Section):
    """When to validate while training, and what to do about it."""

    every: int | None = Field(
        None, ge=1, le=1_000_000_000, description="steps between validations; null validates once per epoch"
    )
    limit: int | None = Field(
        500, ge=1, le=1_000_000_000_000, description="number of validation examples to score; null scores all"
    )
    best: str | None = Field(
        None, description="the key of the metric that decides which validated weights are kept; null keeps the last"
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="stop after this number of validations in a row without improvement; needs `best`",
    )

    @model_validator(mode="after")
    def _patience_needs_best(self) -> ValidateOptions:
        if self.patience is not None and self.best is None:
            raise ValueError("patience: it counts validations without a new best, so `best` must name a metric")
        return self


class TrainOptions(Section):
    """How to train."""

    epochs: float | None = Field(
        1.0, ge=1e-6, le=1_000_000, description="passes over the training examples; null if `steps` is given"
    )
    steps: int | None = Field(
        None, ge=1, le=1_000_000_000, description="number of optimiser steps, instead of `epochs`"
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000_000,
        description="number of training examples to use, chosen by hash; null uses all",
    )
    learning_rate: float = Field(2e-4, ge=1e-12, le=100, description="the peak learning rate")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="how the learning rate changes after the warm-up"
    )
    warmup: float = Field(
        0.05, ge=0, le=1_000_000_000, description="a fraction of all steps if below 1, otherwise a number of steps"
    )
    weight_decay: float = Field(0.0, ge=0, le=1000, description="weight decay of AdamW, applied to matrices only")
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]], Field(strict=False)
    ] = Field((0.9, 0.999), description="the two momentum coefficients of AdamW")
    clip: float | None = Field(
        1.0, ge=1e-12, le=1e12, description="the maximum norm of the gradient; null does not clip it"
    )
    dropout: bool = Field(
        False,
        description="train with the backbone's own dropout; its random numbers depend on the micro-batches, so "
        "runtime.tokens_per_batch then affects the result",
    )
    tokens_per_step: int = Field(
        8192, ge=1, le=1_000_000_000, description="tokens per optimiser step, summed over all processes"
    )
    # Pydantic's models have a method called validate, so the field must not.
    validate_: ValidateOptions | None = Field(
        None, alias="validate", description="validation during training; null does not validate"
    )

    @model_validator(mode="before")
    @classmethod
    def _steps_stand_for_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("steps") is not None and "epochs" not in data:
            return {**data, "epochs": None}
        return data

    @model_validator(mode="after")
    def _warmup_ends(self) -> TrainOptions:
        if self.warmup >= 1 and not self.warmup.is_integer():
            raise ValueError(f"warmup: got {self.warmup:g}, expected a whole number of steps or a fraction below 1")
        if self.steps is not None and self.warmup >= 1 and self.warmup >= self.steps:
            raise ValueError(
                f"warmup: got {self.warmup:g} steps, but the training has {self.steps} steps (train.steps), so that "
                "the learning rate would not reach its peak or fall again; expected fewer, or a fraction below 1"
            )
        return self

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> TrainOptions:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("steps: give epochs or steps, not both; with steps write train.epochs=null")
        if self.epochs is None and self.steps is None:
            raise ValueError("epochs: give epochs or steps, both are null")
        return self


class ScoreOptions(Section):
    """How to score."""

    split: Role = Field("test", description="the split to score, by its role")
    shots: int = Field(0, ge=0, le=10_000, description="number of solved examples placed before every prompt")
    shots_from: Literal["train", "validation", "pool"] = Field(
        "train",
        description="the split the shots come from; `pool` holds them out of the scored split and does not score them, "
        "whatever the number of shots",
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000_000,
        description="number of examples to score, chosen by hash; null scores all. Of whole texts, which `lm` reads in "
        "windows, the number of windows: the last text is cut",
    )
    metrics: tuple[MetricUse, ...] = Field(
        min_length=1, description="the metrics to compute; their keys must be unique"
    )
    level: float = Field(0.95, ge=0.01, le=0.9999, description="the confidence level of the intervals")
    resamples: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="number of bootstrap resamples per interval, of metrics whose interval is resampled; below "
        "50 / (1 - level), which is 1,000 at 95 %, the score says that they are few",
    )


class RuntimeOptions(Section):
    """How to compute. Only ``precision`` is part of the digest."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="the floating-point precision of the computation; `auto` depends on the device"
    )
    device: str = Field("auto", pattern=r"^[a-z]+(:\d+)?$", description="`auto`, `cpu`, `cuda`, `cuda:0`, `mps`, ...")
    tokens_per_batch: int | None = Field(
        None, ge=1, le=1_000_000_000, description="maximum tokens per forward pass; null finds a fast number"
    )
    sharing: bool = Field(
        True,
        description="process what prompts have in common once; false processes each alone: slower, with equal scores",
    )
    cache: bool = Field(
        True,
        description="reuse replies from a cache outside the run (GPTTASKS_CACHE, or the user's cache folder)",
    )
    checkpoint_minutes: float = Field(10.0, ge=1e-6, le=1_000_000, description="maximum minutes between checkpoints")
    trackers: list[str] = Field([], description="trackers of Accelerate to log to, such as `tensorboard`")
    threads: int | None = Field(None, ge=1, le=1024, description="number of CPU threads; null lets PyTorch choose")
    processes: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="the number of processes that torchrun must have started; null accepts any number",
    )


class Identity(Section):
    """The top-level keys that hold a single value."""

    name: str = Field(pattern=NAME_PATTERN, max_length=100, description="the name of the run")
    seed: int = Field(
        1,
        ge=0,
        lt=2**32,
        description="the seed of training order, initial weights and dropout, and of the draw and order of shots",
    )
    data_seed: int = Field(
        1,
        ge=0,
        lt=2**32,
        description="the seed of hold-outs and limits: runs that share it train on and score the same examples",
    )


class Recipe(Identity):
    """A resolved recipe: every name is known, every option is checked and every path is absolute."""

    backbone: Use = Field(description="the model: a Hub id, a folder, `nano`, `runs/NAME`, or a registered backbone")
    encoder: Use | None = Field(None, description="turns the audio or images of a prompt into embeddings")
    task: Use = Field(description="turns rows of data into examples; or a YAML file with the task")
    data: SerializeAsAny[SplitOptions] = Field(description="where the rows come from and how they are split")
    head: Use = Field(description="turns the output of the model into an answer")
    adapt: Use = Field(description="how the model is trained; `none` prompts it unchanged")
    train: TrainOptions | None = Field(description="how to train; null does not train")
    score: ScoreOptions = Field(description="what to score, and how")
    runtime: RuntimeOptions = Field(RuntimeOptions(), description="how to compute")
