"""Tensors in safetensors files: read, and checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackboneError, one_line

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""The suffixes of files that can run code when they are loaded; they are never opened."""


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises BackboneError if the file is missing or damaged; a pickle in its place is named, but not opened.
    """
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        pickles = sorted(one.name for one in file.parent.glob("*") if one.suffix in PICKLES)
        found = f", only {', '.join(pickles)}, which can run code when it is loaded" if pickles else ""
        raise BackboneError(f"{file} is missing{found}", hint="restore it, or run the recipe again with --force")
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return tensors, dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise BackboneError(f"{file} cannot be read: {one_line(error)}") from error


def check_tensors(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], file: Path, hint: str | None = None
) -> None:
    """Raise BackboneError for the first tensor that is missing, surplus, of another shape or not finite."""
    for name in sorted({*found, *expected}):
        if name not in found:
            raise BackboneError(f"{file} lacks the tensor {name}", hint=hint)
        if name not in expected:
            raise BackboneError(f"{file} has the tensor {name}, which does not belong to this model", hint=hint)
        got, needed = list(found[name].shape), list(expected[name].shape)
        if got != needed:
            raise BackboneError(f"{file}: {name} has the shape {got}, expected {needed}", hint=hint)
    check_finite(found, file)


def check_finite(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Raise BackboneError for the first tensor with a value that is not finite."""
    import torch

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BackboneError(f"{file}: {name} has values that are not finite (NaN or infinity)")
