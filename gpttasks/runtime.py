"""The device and the precision of a run."""

from __future__ import annotations

from typing import Literal

from .errors import Problem, UserError


def choose_device(device: str) -> str:
    """The torch device: ``auto`` is the first GPU, else the CPU. Raises UserError for a device that cannot be used."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        reason = str(error).splitlines()[0]
        problem = Problem(f"{device!r} cannot be used: {reason}", key="runtime.device", hint="use auto or cpu")
        raise UserError(problem) from error
    return device


def choose_precision(precision: str, device: str) -> Precision:
    """fp32, bf16 or fp16; ``auto`` is bf16 on a GPU that supports it, else fp32.

    ``auto`` is never bf16 on a CPU: most CPUs emulate bf16, up to 50 times slower, and it changes scores.
    """
    import torch

    if precision != "auto":
        return precision  # type: ignore[return-value]
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


Precision = Literal["fp32", "bf16", "fp16"]
