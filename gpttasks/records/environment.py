"""What a run records about its environment: versions, machine and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

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


def peak_memory_bytes(device: str) -> dict[str, int]:
    """The peak memory of this process: ``process`` in RAM, and ``device`` on a GPU."""
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.startswith("cuda"):
        peak["device"] = torch.cuda.max_memory_allocated()
    return peak


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    packages = {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **packages}


def machine() -> dict[str, Any]:
    """The machine: its system, processor and number of threads."""
    import torch

    return {"system": platform.platform(), "processor": platform.machine(), "threads": torch.get_num_threads()}
