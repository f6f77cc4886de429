"""Which folder a run may move aside, and the links that it does not follow: it changes nothing but its own files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import FolderError
from ..trust import is_run_folder
from .plain_files import read_json
from .run import RECORD

_OWN_SCHEMAS = "gpttasks.run/"


def check_movable(path: Path) -> None:
    """Raise FolderError for a folder that ``--force`` must not move aside: one that holds no run, or the working
    directory."""
    if not _holds_run(path):
        message = f"{path} has files, but is not a run folder, and --force moves only a run aside"
        raise FolderError(message, hint="give an empty or a new folder with --out")
    if Path.cwd().is_relative_to(path.resolve()):
        message = f"{path} cannot be moved aside, since the working directory is in it"
        raise FolderError(message, hint="run the command in another folder")


def _holds_run(path: Path) -> bool:
    """Whether a folder holds a run, whose record may be damaged if the other files of a run are there."""
    try:
        document = read_json(path / RECORD)
    except (FolderError, FileNotFoundError):
        document = None
    if isinstance(document, dict) and str(document.get("schema")).startswith(_OWN_SCHEMAS):
        return True
    return (path / "recipe.yaml").is_file() and is_run_folder(path)


def move_aside(path: Path) -> None:
    """Rename a folder to the same name with a free number. Raises FolderError if that is not possible."""
    path, number = Path(os.path.abspath(path)), 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.old-{number}")):
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise FolderError(f"{path} cannot be moved to {aside}: {error.strerror or error}") from error


def refuse_links(path: Path, names: Iterable[str]) -> None:
    """Raise FolderError if one of these files of a run folder is, or a folder of them holds, a symbolic link."""
    for name in sorted(names):
        entry = path / name
        inside = entry.rglob("*") if entry.is_dir() and not entry.is_symlink() else ()
        for file in (entry, *inside):
            if file.is_symlink():
                message = f"{file} is a symbolic link, and a run writes only in its own folder"
                raise FolderError(message, hint="remove the link, or put what it leads to in its place")
