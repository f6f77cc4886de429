"""Weights that a run has saved: read only from safetensors, and only if they are finite and fit exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FolderError, one_line

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
RESTORE = "restore the file, or run the recipe again with --force"


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises FolderError if the file is missing or damaged, and for a value that is not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise FolderError(f"{file} cannot be read: {one_line(error)}", hint=RESTORE) from error
    if name := not_finite(tensors):
        raise FolderError(f"{file}: {name} has values that are not finite", hint=RESTORE)
    return tensors, metadata


def not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that has infinite values or NaN."""
    import torch

    # In fp32, because some operations are missing for the 8-bit floating-point types.
    numbers = {name: value for name, value in tensors.items() if value.is_floating_point() or value.is_complex()}
    bad = (name for name, value in sorted(numbers.items()) if not bool(torch.isfinite(_simple(value)).all()))
    return next(bad, None)


def _simple(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 2 else value


def check_saved_weights(folder: Path) -> None:
    """Read all weights in a folder that an adaptation has saved.

    Raises FolderError without the folder, for weights that are damaged or not finite, and if there are only pickles,
    which can run code when they are opened.
    """
    if not folder.is_dir():
        raise FolderError(f"the run has no folder {folder}, which holds what it trained", hint=RESTORE)
    files = sorted(folder.glob("*.safetensors"))
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    if not files and pickles:
        raise FolderError(
            f"{folder} has only pickle weights ({', '.join(pickles)}), expected *.safetensors",
            hint=f"pickle files can run code when they are opened, so they never are; {RESTORE}",
        )
    for file in files:
        read_tensors(file)


def misfit(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], optional: frozenset[str] = frozenset()
) -> str | None:
    """The first tensor that is missing, is not expected or has another shape; None if all fit.

    ``optional`` names expected tensors that may be missing.
    """
    for name in sorted({*found, *expected}):
        if name not in found and name in optional:
            continue
        got, needed = (str(list(some[name].shape)) if name in some else "nothing" for some in (found, expected))
        if got != needed:
            return f"{name} has the shape {got}, expected {needed}"
    return None
