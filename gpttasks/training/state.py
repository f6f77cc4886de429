"""The progress of a training, as a checkpoint holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import FolderError, one_line


@dataclass
class TrainingState:
    """The progress of a training, in JSON values; saved with every checkpoint."""

    step: int = 0
    seen: int = 0
    """The number of items so far; an item counts once per epoch."""
    cut: int = 0
    """The number of items in the first epoch that were longer than the context."""
    cut_at_start: int = 0
    """The number of those that were cut at the start of a passage, whose end is kept."""
    tokens: int = 0
    warmed: float = 0.0
    """The share of the training that was done when the warm-up ended."""
    seconds: float = 0.0
    loss: float | None = None
    best_value: float | None = None
    best_step: int | None = None
    owes_validation: bool = False
    """Whether the validation after the last step has not been done yet."""
    bad_validations: int = 0
    stopped_early: bool = False
    resumed_at: list[int] = field(default_factory=list)
    loss_scaler: dict[str, float | int] | None = None
    """With fp16, the state of the scaler that multiplies the loss: it decides which steps overflow and are skipped."""


def state_of(document: Mapping[str, Any], file: Path) -> TrainingState:
    """The training state in a checkpoint. Raises FolderError for missing or unknown keys and values of wrong types."""
    names = {one.name for one in fields(TrainingState)}
    try:
        if different := sorted(names ^ set(document)):
            raise ValueError(f"{different[0]} is {'missing' if different[0] in names else 'unknown'}")
        return TypeAdapter(TrainingState).validate_json(json.dumps(document), strict=True)
    except (ValidationError, ValueError) as error:
        raise FolderError(
            f"the checkpoint {file} has no training state of this version of gpttasks: {one_line(error)}",
            hint="run with --force to start again",
        ) from error
