"""Atomic files and folders: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".tmp"
"""While a file or folder is being written, its name begins with a dot and ends with this suffix."""


def is_unfinished(path: Path) -> bool:
    """Whether a file or folder is the remainder of a process that was killed while writing it."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` to write to; it is renamed to ``target`` at the end of the block.

    Readers see the old file or the complete new one, even after a crash of the machine. If the block raises, the old
    file stays and the new one is deleted. Parent folders of the target are created.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    aside.touch()
    mode = aside.stat().st_mode
    aside.unlink()  # a block that writes nothing is an error
    try:
        yield aside
        aside.chmod(mode)  # as the umask says, also where a library writes files for their owner only
        _flush(aside)
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty temporary folder beside ``target`` to fill; it replaces ``target`` at the end of the block.

    If the block raises, an existing folder stays unchanged and the new one is deleted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                file.chmod(aside.stat().st_mode & 0o666)  # as the umask says, see atomic_file
                _flush(file)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _flush(target.parent)


def write_text(target: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8 with ``\\n`` line endings; lone surrogates are allowed."""
    with atomic_file(target) as aside, open(aside, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        file.write(text)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}{SUFFIX}")


def _flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
