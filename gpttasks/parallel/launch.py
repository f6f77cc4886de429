"""The process group that ``torchrun`` started this process in, read from the environment."""

from __future__ import annotations

import os


def launched() -> int:
    """The number of processes that ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_helper() -> bool:
    """Whether ``torchrun`` started this process as any but the first."""
    return launched() > 1 and int(os.environ.get("RANK", "0")) > 0
