"""Checkpoints: trained tensors, optimiser moments and training state in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FolderError
from ..files import atomic_file

if TYPE_CHECKING:
    import torch
    from torch import nn

LAST = "last.safetensors"
"""The name of the newest checkpoint."""
WEIGHT, MOMENT = "weight:", "moment:"


def trained_parameters(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, nn.Parameter]:
    """The trained parameters by name: those of the backbone as ``backbone.…``, those of the head as ``head.…``."""
    parameters = {f"backbone.{name}": value for name, value in model.named_parameters() if value.requires_grad}
    if modules is not None:
        parameters |= {f"head.{name}": value for name, value in modules.named_parameters() if value.requires_grad}
    return parameters


def save_checkpoint(
    file: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer | None, state: dict[str, Any]
) -> None:
    """Write weights, Adam's moments and ``state`` (JSON values), atomically."""
    from safetensors.torch import save_file

    tensors = {WEIGHT + name: value.detach().contiguous() for name, value in parameters.items()}
    if optimizer is not None:
        for name, value in parameters.items():
            for key, moment in optimizer.state.get(value, {}).items():
                tensors[f"{MOMENT}{key}:{name}"] = moment.detach().contiguous()
    with atomic_file(file) as aside:
        save_file(tensors, aside, metadata={"state": json.dumps(state)})


def saved_step(file: Path) -> int:
    """The step of a checkpoint; 0 if there is none, or it cannot be read (which loading it will report)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return int(json.loads(opened.metadata()["state"])["step"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return 0


def load_checkpoint(
    file: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """Restore weights and moments, and return the state. Raises FolderError if the file is damaged or does not fit."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            state: dict[str, Any] = json.loads(opened.metadata()["state"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FolderError(
            f"the checkpoint {file} cannot be read: {error}", hint="run with --force to start again"
        ) from error
    saved = {name.removeprefix(WEIGHT): value.shape for name, value in tensors.items() if name.startswith(WEIGHT)}
    if saved != {name: value.shape for name, value in parameters.items()}:
        raise FolderError(f"the checkpoint {file} belongs to another model", hint="run with --force to start again")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[WEIGHT + name])
    if optimizer is not None:
        for key, moment in tensors.items():
            if key.startswith(MOMENT):
                kind, _, name = key.removeprefix(MOMENT).partition(":")
                optimizer.state[parameters[name]][kind] = moment.to(parameters[name].device if moment.dim() else "cpu")
    return state
