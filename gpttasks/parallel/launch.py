"""How many processes this one was started among: what ``torchrun`` says in the environment."""

from __future__ import annotations

import os


def launched() -> int:
    """The number of processes; 1 without ``torchrun``."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_helper() -> bool:
    """Whether this process was started to help the first one."""
    return launched() > 1 and int(os.environ.get("RANK", "0")) > 0
