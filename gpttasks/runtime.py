"""The device and the precision of a run."""

from __future__ import annotations

from typing import Literal

from .errors import Problem, UserError


def choose_device(wanted: str) -> str:
    """The torch device: ``auto`` is the first GPU, else the CPU. Raises UserError for one that is not there."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        reason = str(error).splitlines()[0]
        problem = Problem(f"{wanted!r} cannot be used: {reason}", key="runtime.device", hint="use auto or cpu")
        raise UserError(problem) from error
    return wanted


def choose_precision(wanted: str, device: str) -> Precision:
    """fp32, bf16 or fp16; ``auto`` is bf16 on a GPU that has it, else fp32.

    Never bf16 by itself on a CPU: most emulate it, up to 50 times slower, and it moves scores; it can be asked for.
    """
    import torch

    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


Precision = Literal["fp32", "bf16", "fp16"]
