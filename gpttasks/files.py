"""Files and folders that appear whole or not at all: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".tmp"
"""What the name of a file or folder ends in, and a point what it begins with, while it is being written."""


def is_unfinished(path: Path) -> bool:
    """Whether a file or folder was left behind by a process that was killed while it wrote."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to; renamed to ``target`` at the end of the block.

    A reader sees the old file or the new one, never half of it, after a crash of the machine too. If the block raises,
    the old file stays and nothing is left behind. Folders above the target are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    try:
        yield aside
        _flush(aside)
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target`` to fill; it takes the place of ``target`` at the end of the block.

    A folder that is there already is replaced. If the block raises, it stays as it was and nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                _flush(file)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _flush(target.parent)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all, as UTF-8 with ``\\n`` at the ends of lines; half surrogate pairs pass."""
    with atomic_file(target) as aside, open(aside, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        file.write(text)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}{SUFFIX}")


def _flush(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
