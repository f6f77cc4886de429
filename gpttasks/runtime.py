"""The device and the precision of a run."""

from __future__ import annotations

from typing import Literal

from .errors import Problem, UserError, one_line


def choose_device(device: str) -> str:
    """The torch device: ``auto`` is the first GPU, else the CPU. Raises UserError for a device that cannot be used."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()  # the device "meta" has tensors, but no numbers
    except Exception as error:  # RuntimeError, AssertionError or ImportError, depending on the backend that torch lacks
        reason = one_line(error).partition(". ")[0]  # the first of many sentences
        problem = Problem(f"{device!r} cannot be used: {reason}", key="runtime.device", hint="use auto or cpu")
        raise UserError(problem) from error
    return device


def precision_problem(precision: str, device: str) -> Problem | None:
    """What is wrong with a precision on a device; None if nothing, or if the device is not known yet (``auto``)."""
    if (precision, device) != ("fp16", "cpu"):
        return None
    return Problem(
        "fp16 on a CPU is emulated, many times slower than fp32",
        key="runtime.precision",
        hint="write fp32 or auto; bf16 is fast on CPUs that have instructions for it",
    )


def choose_precision(precision: str, device: str) -> Precision:
    """fp32, bf16 or fp16; ``auto`` is bf16 on a GPU that supports it, else fp32.

    ``auto`` is never bf16 on a CPU: most CPUs emulate it, up to 50 times slower, and it changes scores. Raises
    UserError for fp16 on a CPU.
    """
    import torch

    if problem := precision_problem(precision, device):
        raise UserError(problem)
    if precision != "auto":
        return precision  # type: ignore[return-value]
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


Precision = Literal["fp32", "bf16", "fp16"]
