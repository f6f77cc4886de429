"""Accelerate's object for the device, the precision and the trackers of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .active_run import ActiveRun
from .parts import PreparedRun

if TYPE_CHECKING:
    from accelerate import Accelerator


def tracked_accelerator(run: ActiveRun, prepared: PreparedRun) -> Accelerator:
    """The Accelerator for this device, precision and the recipe's trackers, which get the recipe."""
    trackers = prepared.recipe.runtime.trackers
    accelerator = make_accelerator(prepared, trackers, run.folder / "trackers")
    if trackers:
        accelerator.init_trackers(prepared.recipe.name, config=flat(run.info.recipe))
    return accelerator


def make_accelerator(
    prepared: PreparedRun, trackers: list[str] | None = None, folder: Path | None = None
) -> Accelerator:
    """The Accelerator for this device and precision, with trackers that write to ``folder``."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # An earlier run of this process may have had another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        mixed_precision={"fp32": "no"}.get(prepared.precision, prepared.precision),
        cpu=prepared.device == "cpu",
        log_with=trackers or None,
        project_dir=str(folder) if trackers else None,
    )


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """A nested mapping as a flat one with dotted keys, and values of the types that trackers take."""
    flattened: dict[str, str | int | float | bool] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flattened |= flat(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = value if isinstance(value, (str, int, float, bool)) else str(value)
    return flattened
