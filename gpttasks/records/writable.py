"""Whether a run can write to what its folder holds already, before it begins its work."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import FolderError, Problem
from .folder import ADAPTER, CHECKPOINTS, HEAD, MODEL, REPLIES


def check_writable(folder: Path) -> None:
    """Raise FolderError with a problem for each folder and file of an unfinished run that cannot be written to.

    Other files are replaced, which their folder has to permit; REPLIES is added to.
    """
    tops = [folder / name for name in (CHECKPOINTS, ADAPTER, MODEL, HEAD)]
    folders = [path for top in tops if top.is_dir() for path in (top, *sorted(top.rglob("*"))) if path.is_dir()]
    files = [folder / name for name in (REPLIES,) if (folder / name).is_file()]
    wrong = [(path, "folder") for path in folders if not os.access(path, os.W_OK | os.X_OK)]
    wrong += [(path, "file") for path in files if not os.access(path, os.W_OK)]
    if wrong:
        hint = "make it writable, or give another folder with --out"
        raise FolderError([Problem(f"the {kind} {path} cannot be written to", hint=hint) for path, kind in wrong])
