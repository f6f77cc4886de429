"""Weights that a run has saved: read only from safetensors, and only if they are finite and fit exactly."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FolderError, one_line
from ..hashing import bytes_digest, file_digest
from ..records.folder import ADAPTER
from ..records.own_files import OwnFiles, check_own_files

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
RESTORE = "restore the file, or run the recipe again with --force"


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises FolderError if the file is missing or damaged, and for a value that is not finite.
    """
    from safetensors import safe_open

    with readable(file), safe_open(file, framework="pt") as opened:
        metadata = dict(opened.metadata() or {})
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    check_finite(file, tensors)
    return tensors, metadata


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file by name. Raises FolderError if it is missing or damaged."""
    from safetensors import safe_open

    with readable(file), safe_open(file, framework="pt") as opened:
        return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Raise FolderError if a safetensors file cannot be read in the block."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise FolderError(f"{file} cannot be read: {one_line(error)}", hint=RESTORE) from error


def check_finite(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise FolderError if a tensor of a file has infinite values or NaN."""
    if name := not_finite(tensors):
        raise FolderError(f"{file}: {name} has values that are not finite", hint=RESTORE)


def not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that has infinite values or NaN."""
    import torch

    # In fp32, because some operations are missing for the 8-bit floating-point types.
    numbers = {name: value for name, value in tensors.items() if value.is_floating_point() or value.is_complex()}
    bad = (name for name, value in sorted(numbers.items()) if not bool(torch.isfinite(_simple(value)).all()))
    return next(bad, None)


def _simple(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 2 else value


def check_saved_weights(folder: Path, contents: Mapping[Path, bytes] | None = None) -> None:
    """Read all weights in a folder that an adaptation has saved; ``contents`` of files that were read already.

    Raises FolderError without the folder, for weights that are damaged or not finite, and if there are only pickles,
    which can run code when they are opened.
    """
    from safetensors.torch import load

    for file in weight_files(folder):
        if contents is None or file not in contents:
            read_tensors(file)
            continue
        with readable(file):
            tensors = load(contents[file])
        check_finite(file, tensors)


def check_own_weights(folder: Path, keeps: str | None, digests: Mapping[str, str], within: Sequence[str]) -> OwnFiles:
    """Compare the files in the folders ``within`` of a run with their recorded ``digests``, and check its weights.

    What the run's adaptation saved is in its folder ``keeps``. An adapter is read once for both; a whole model, which
    is better not held in memory beside the loaded one, is read twice. Raises FolderError.
    """
    contents: dict[Path, bytes] = {}

    def digest_of(file: Path) -> str:
        if keeps != ADAPTER or file.parent != folder / ADAPTER:
            return file_digest(file)
        try:
            contents[file] = file.read_bytes()
        except MemoryError:  # what is that large is not what was saved
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None
        return bytes_digest(contents[file])

    own = check_own_files(folder, digests, tuple(f"{name}/" for name in within), digest_of)
    if keeps is not None:
        check_saved_weights(folder / keeps, contents)
    return own


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files in a folder. Raises FolderError without the folder, and if there are only pickles."""
    if not folder.is_dir():
        raise FolderError(f"the run has no folder {folder}, which holds what it trained", hint=RESTORE)
    files = sorted(folder.glob("*.safetensors"))
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    if not files and pickles:
        raise FolderError(
            f"{folder} has only pickle weights ({', '.join(pickles)}), expected *.safetensors",
            hint=f"pickle files can run code when they are opened, so they never are; {RESTORE}",
        )
    return files


def misfit(
    found: Mapping[str, torch.Tensor | tuple[int, ...]],
    expected: Mapping[str, torch.Tensor],
    optional: frozenset[str] = frozenset(),
) -> str | None:
    """The first tensor that is missing, is not expected or has another shape; None if all fit.

    ``found`` has tensors or their shapes. ``optional`` names expected tensors that may be missing.
    """
    for name in sorted({*found, *expected}):
        if name not in found and name in optional:
            continue
        got, needed = (_shape(some.get(name)) for some in (found, expected))
        if got != needed:
            return f"{name} has the shape {got}, expected {needed}"
    return None


def _shape(value: torch.Tensor | tuple[int, ...] | None) -> str:
    return "nothing" if value is None else str(list(getattr(value, "shape", value)))
