"""Checkpoints: trained tensors, buffers, optimiser moments and training state in one safetensors file.

Each carries a checksum over its content, and the identity of its run. A file that does not hold what was written is
never used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import FolderError, one_line
from ..files import atomic_file, flush
from ..hashing import text_digest
from ..model.loaded import state_digest
from ..remembered_digests import file_status, is_settled

if TYPE_CHECKING:
    import torch
    from torch import nn

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
"""The names of the newest checkpoint, of the one before it, and of the best weights so far."""

WEIGHT, MOMENT = "weight:", "moment:"
SCHEMA = "gpttasks.checkpoint/1"
START_AGAIN = "run with --force to start again"

Kind = Literal["state", "best"]


def run_identity(digest: str, run: str, began_with: str) -> str:
    """The identity of a run for its checkpoints: the recipe's digest, the random name that the run keeps, and the
    digest of what it depended on when it began. What it depends on now may differ, if that was accepted.
    """
    return json.dumps({"recipe": digest, "run": run, "dependencies": began_with})


@dataclass(frozen=True)
class Header:
    """What a checkpoint says about itself.

    identity:
        an opaque text; only a run with the same one may use the checkpoint.
    kind:
        ``state`` for a state from which training goes on, ``best`` for weights alone.
    checksum:
        the SHA-256 of all this and of the tensors; it names the checkpoint.
    status:
        the file's size, times and inode when it was checked; None if it had changed so recently that another change
        might not show.
    """

    identity: str
    kind: Kind
    state: dict[str, Any]
    checksum: str
    status: tuple[int, ...] | None = None

    @property
    def step(self) -> int:
        """The number of steps that were finished."""
        return int(self.state["step"])


def trained_parameters(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, nn.Parameter]:
    """The trained parameters by name: those of the backbone as ``backbone.…``, those of the head as ``head.…``."""
    return {
        name: value
        for prefix, module in _named(model, modules)
        for name, value in ((f"{prefix}.{one}", value) for one, value in module.named_parameters())
        if value.requires_grad
    }


def saved_buffers(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, torch.Tensor]:
    """The buffers that belong to the state of the modules, such as the means of a batch normalisation, by name."""
    return {
        f"{prefix}.{name}{'.' if name else ''}{one}": value
        for prefix, root in _named(model, modules)
        for name, module in root.named_modules()
        for one, value in module.named_buffers(recurse=False)
        if one not in module._non_persistent_buffers_set
    }


def trained_state(model: nn.Module, modules: nn.ModuleDict | None) -> dict[str, torch.Tensor]:
    """All that training may change, by name: the trained parameters and the buffers."""
    return {**trained_parameters(model, modules), **saved_buffers(model, modules)}


def _named(model: nn.Module, modules: nn.ModuleDict | None) -> list[tuple[str, nn.Module]]:
    return [("backbone", model), *([("head", modules)] if modules is not None else [])]


def save_checkpoint(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer | None,
    state: dict[str, Any],
    *,
    identity: str = "",
    kind: Kind = "state",
    previous: Path | None = None,
) -> str:
    """Write parameters and buffers, Adam's moments and ``state`` (JSON values), atomically; returns the checksum.

    ``previous``: the path to which the file that is replaced is moved, once the new one is on the disk.
    """
    from safetensors.torch import save_file

    content = {WEIGHT + name: _on_cpu(value) for name, value in tensors.items()}
    if optimizer is not None:
        for name, value in tensors.items():
            for key, moment in optimizer.state.get(value, {}).items():
                content[f"{MOMENT}{key}:{name}"] = _on_cpu(moment)
    header = json.dumps({"schema": SCHEMA, "identity": identity, "kind": kind, "state": state})
    checksum = _checksum(header, content)
    with atomic_file(file) as aside:
        save_file(content, aside, metadata={"checkpoint": header, "sha256": checksum})
        if previous is not None and file.exists():
            flush(aside)
            os.replace(file, previous)
    return checksum


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in contiguous memory; a buffer is copied, since safetensors refuses tensors that share memory."""
    from torch import nn

    plain = tensor.detach().cpu().contiguous()
    return plain if isinstance(tensor, nn.Parameter) else plain.clone()


def _checksum(header: str, tensors: Mapping[str, torch.Tensor]) -> str:
    return text_digest(header + state_digest(tensors))


def read_header(file: Path, identity: str | None, kind: Kind = "state") -> Header:
    """Read and check the whole file, and return its header; the identity None accepts that of any run.

    A file that was checked before in this process, and whose size, times and inode are the same, is not read again.

    Raises FolderError if the file is damaged, or belongs to another run or is of another kind.
    """
    from safetensors import SafetensorError

    try:
        header = _checked(file, tuple(file_status(file))) if is_settled(file) else _check(file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FolderError(f"the checkpoint {file} cannot be read: {one_line(error)}", hint=START_AGAIN) from error
    if identity is not None and header.identity != identity:
        raise FolderError(
            f"the checkpoint {file} belongs to another run, or to this run with another recipe or other inputs",
            hint=START_AGAIN,
        )
    if header.kind != kind:
        raise FolderError(f"{file} holds a checkpoint of the kind {header.kind!r}, expected {kind!r}", hint=START_AGAIN)
    return header


@lru_cache(maxsize=4)
def _checked(file: Path, status: tuple[int, ...]) -> Header:
    header = _check(file)
    # A file that changed while it was read is checked again when it is loaded.
    return replace(header, status=status if _status(file) == status else None)


def _check(file: Path) -> Header:
    """The header of a file whose content has the checksum in it. Raises FolderError for another checksum."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
        if "checkpoint" not in metadata or "sha256" not in metadata:
            raise FolderError(f"{file} is not a checkpoint of this version of gpttasks", hint=START_AGAIN)
        checksum = _checksum(metadata["checkpoint"], _OpenedTensors(opened))
    if checksum != metadata["sha256"]:
        raise FolderError(
            f"{file} is damaged: its content has the checksum {checksum[:12]}, expected {metadata['sha256'][:12]}",
            hint=START_AGAIN,
        )
    # From here on the text is known to be what was written.
    document = json.loads(metadata["checkpoint"])
    header = Header(document["identity"], document["kind"], dict(document["state"]), checksum)
    if document["schema"] != SCHEMA or header.step < 0:
        raise ValueError(f"got a checkpoint of the kind {document['schema']!r}, expected {SCHEMA!r}")
    return header


class _OpenedTensors(Mapping[str, "torch.Tensor"]):
    """The tensors of an open safetensors file, each read when it is asked for."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._names: list[str] = list(opened.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._opened.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_checkpoint(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    identity: str | None = "",
    kind: Kind = "state",
    header: Header | None = None,
) -> dict[str, Any]:
    """Restore parameters, buffers and moments, and return the state.

    ``header``: what :func:`read_header` returned for the file, which is not checked again if it is still the same.

    Raises FolderError, before anything is changed, if the file is damaged, foreign or does not fit, or has changed
    since it was checked; and afterwards if it changed while it was loaded.
    """
    import torch
    from safetensors import safe_open

    checked = header if header is not None and header.status is not None else read_header(file, identity, kind)
    if header is not None and checked.checksum != header.checksum:
        raise _changed(file)
    with safe_open(file, framework="pt") as opened:
        saved = dict(_OpenedTensors(opened))
    _check_unchanged(file, checked)
    weights = {name.removeprefix(WEIGHT): value for name, value in saved.items() if name.startswith(WEIGHT)}
    moments = _moments(saved, file, tensors)
    _check_forms(weights, file, tensors)
    with torch.no_grad():
        for name, value in tensors.items():
            value.copy_(weights[name])
    if optimizer is not None:
        for (kind_of_moment, name), moment in moments.items():
            value = tensors[name]
            # A copy: a tensor from the file would change with it.
            optimizer.state[value][kind_of_moment] = moment.to(value.device if moment.dim() else "cpu", copy=True)
    _check_unchanged(file, checked)
    return dict(checked.state)


def _check_unchanged(file: Path, header: Header) -> None:
    if header.status is not None and _status(file) != header.status:
        raise _changed(file)


def _changed(file: Path) -> FolderError:
    return FolderError(f"{file} was changed after it had been checked", hint="run the same command again")


def _status(file: Path) -> tuple[int, ...] | None:
    try:
        return tuple(file_status(file))
    except OSError:
        return None


def _check_forms(weights: Mapping[str, torch.Tensor], file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name in sorted({*weights, *tensors}):
        got, expected = (_form(some.get(name)) for some in (weights, tensors))
        if got != expected:
            raise FolderError(
                f"the checkpoint {file} belongs to another model: {name} is {got}, expected {expected}",
                hint=START_AGAIN,
            )


def _moments(
    saved: Mapping[str, torch.Tensor], file: Path, tensors: Mapping[str, torch.Tensor]
) -> dict[tuple[str, str], torch.Tensor]:
    """The moments by their kind and the name of their parameter. Raises FolderError for one that fits no parameter."""
    moments = {}
    for key, moment in saved.items():
        if not key.startswith(MOMENT):
            continue
        kind, _, name = key.removeprefix(MOMENT).partition(":")
        if name not in tensors or (moment.dim() and moment.shape != tensors[name].shape):
            raise FolderError(f"the checkpoint {file} belongs to another model: {key} fits no parameter")
        moments[kind, name] = moment
    return moments


def _form(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
