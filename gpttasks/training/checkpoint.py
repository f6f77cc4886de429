"""Checkpoints: trained tensors, optimiser moments and training state in one safetensors file with a checksum."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import FolderError, one_line
from ..files import atomic_file
from ..hashing import text_digest
from ..model.loaded import state_digest

if TYPE_CHECKING:
    import torch
    from torch import nn

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
"""The names of the newest checkpoint, of the one before it, and of that with the best validation score."""
WEIGHT, MOMENT = "weight:", "moment:"

CheckpointKind = Literal["last", "best"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    tensors:
        weights as ``weight:NAME`` and moments as ``moment:KEY:NAME``.
    state:
        the state of the training, in JSON values; of a best checkpoint only its step.
    """

    file: Path
    tensors: Mapping[str, torch.Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """The optimiser step after which it was written."""
        return int(self.state["step"])

    def restore(self, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer | None = None) -> None:
        """Copy the weights and, for an optimiser, the moments. Raises FolderError if they do not fit."""
        import torch

        saved = {
            name.removeprefix(WEIGHT): value.shape for name, value in self.tensors.items() if name.startswith(WEIGHT)
        }
        expected = {name: value.shape for name, value in trained.items()}
        if saved != expected:
            name = min(name for name in {*saved, *expected} if saved.get(name) != expected.get(name))
            raise FolderError(f"the checkpoint {self.file} belongs to another model: {name} does not fit")
        with torch.no_grad():
            for name, value in trained.items():
                value.copy_(self.tensors[WEIGHT + name])
        if optimizer is not None:
            for key, moment in self.tensors.items():
                if key.startswith(MOMENT):
                    kind, _, name = key.removeprefix(MOMENT).partition(":")
                    owner: Any = trained[name]
                    optimizer.state[owner][kind] = moment.to(owner.device if moment.dim() else "cpu")


def trained_parameters(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, nn.Parameter]:
    """The trained parameters by name: those of the backbone as ``backbone.…``, those of the head as ``head.…``."""
    parameters = {f"backbone.{name}": value for name, value in model.named_parameters() if value.requires_grad}
    if modules is not None:
        parameters |= {f"head.{name}": value for name, value in modules.named_parameters() if value.requires_grad}
    return parameters


def trained_tensors(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, torch.Tensor]:
    """All that training changes, by name: the trained parameters, and the modules' buffers (batch normalisation)."""
    tensors: dict[str, torch.Tensor] = dict(trained_parameters(model, modules))
    if modules is not None:
        kept = modules.state_dict().keys()  # without buffers that are computed anew
        tensors |= {f"head.{name}": value for name, value in modules.named_buffers() if name in kept}
    return tensors


def save_checkpoint(
    file: Path,
    trained: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer | None,
    state: dict[str, Any],
    identity: str,
) -> None:
    """Write weights, Adam's moments and ``state`` (JSON values), atomically; the file has the name of its kind.

    The newest checkpoint that there was becomes the previous one.

    identity: of the run, and of what it depends on.
    """
    from safetensors.torch import save_file

    tensors = {WEIGHT + name: value.detach().contiguous() for name, value in trained.items()}
    if optimizer is not None:
        for name, value in trained.items():
            moments: dict[str, torch.Tensor] = optimizer.state.get(value, {})
            for key, moment in moments.items():
                tensors[f"{MOMENT}{key}:{name}"] = moment.detach().contiguous()
    metadata = {"state": json.dumps(state), "kind": file.stem, "identity": identity}
    metadata["sha256"] = _checksum(metadata, tensors)
    with atomic_file(file) as aside:
        save_file(tensors, aside, metadata=metadata)
        if file.name == LAST and file.exists():
            _flush_file(aside)  # the older one stays valid under its new name if this process is killed now
            os.replace(file, file.with_name(PREVIOUS))


def read_checkpoint(file: Path, kind: CheckpointKind, identities: Collection[str]) -> Checkpoint:
    """A checkpoint of this kind, of a run with one of these identities.

    Raises FolderError that says why the file cannot be used: it is damaged, or another kind's or another run's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
        if "sha256" not in metadata:
            raise FolderError(f"{file} has no checksum: an earlier version of gpttasks wrote it, or another program")
        if metadata.pop("sha256") != _checksum(metadata, tensors):
            raise FolderError(f"{file} is damaged: its content does not have the checksum that it records")
        state = json.loads(metadata["state"])
        if metadata["identity"] not in identities:
            raise FolderError(f"{file} was written by another run, or for other data or another model")
        if metadata["kind"] != kind:
            raise FolderError(f"{file} is a checkpoint of the kind {metadata['kind']!r}, expected {kind!r}")
        return Checkpoint(file, tensors, state)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{file} cannot be read: {one_line(error)}") from error


def saved_step(folder: Path) -> int:
    """The step of the newest checkpoint in a folder, as far as its header tells; 0 if there is none."""
    from safetensors import SafetensorError, safe_open

    for name in (LAST, PREVIOUS):
        try:
            with safe_open(folder / name, framework="numpy") as opened:
                return int(json.loads(opened.metadata()["state"])["step"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):  # noqa: PERF203 - loading reports it
            continue
    return 0


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    return text_digest(json.dumps(metadata, sort_keys=True) + state_digest(dict(tensors)))


def _flush_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
