"""What the run has to work with: device, precision, memory and versions."""

from __future__ import annotations

import sys
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


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep what is freed for the next tensor, on Linux; elsewhere nothing happens.

    By default it gives every large block back to the system and asks for it again, and up to half of the time of a
    forward and backward pass on a CPU goes into the kernel's page faults. The peak of memory stays the same, but it
    is held until the process ends. ``benchmarks/allocator.py`` measures it.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # a C library other than glibc
        return
    for parameter, value in MALLOPT.items():
        mallopt(parameter, value)


MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**28}
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3): no block of its own, no trimming, grow by 256 MiB."""


Precision = Literal["fp32", "bf16", "fp16"]
