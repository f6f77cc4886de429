"""What the run has to work with: device, precision, memory and versions."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

from .backbones.base import Precision
from .errors import Problem, UserError, did_you_mean

RECORDED_PACKAGES = (
    "gpttasks",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "peft",
    "datasets",
    "evaluate",
    "sacrebleu",
    "numpy",
)


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


def check_trackers(wanted: list[str]) -> None:
    """Raise UserError for a tracker that Accelerate does not know, or whose package is not installed."""
    if not wanted:
        return
    from accelerate.tracking import get_available_trackers

    available = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for tracker in wanted:
        if tracker not in available:
            hint = did_you_mean(tracker, available) or f"installed are: {', '.join(available) or 'none'}"
            message = f"there is no tracker {tracker!r}, or its package is not installed"
            raise UserError(Problem(message, key="runtime.trackers", hint=hint))


def peak_memory_bytes(device: str) -> dict[str, int]:
    """The most memory this process has held: ``process`` in RAM, and ``device`` on a GPU."""
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.startswith("cuda"):
        peak["device"] = torch.cuda.max_memory_allocated()
    return peak


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    found = {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **found}


def machine() -> dict[str, Any]:
    """The machine in words: processor, threads, system."""
    import torch

    return {"system": platform.platform(), "processor": platform.machine(), "threads": torch.get_num_threads()}


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
