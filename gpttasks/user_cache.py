"""The folder of the user's caches."""

from __future__ import annotations

import os
from pathlib import Path

SWITCH = "GPTTASKS_CACHE"
"""The environment variable that names the folder; ``off`` disables the caches."""


def cache_folder() -> Path | None:
    """The folder that ``GPTTASKS_CACHE`` names, or the one in the user's cache; None if the caches are off."""
    named = os.environ.get(SWITCH, "")
    if named.lower() == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named or Path(base, "gpttasks")).expanduser()
