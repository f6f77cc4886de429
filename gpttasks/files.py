"""Atomic files and folders: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".tmp"
"""What is being written is in a folder whose name begins with a dot and ends with this suffix."""


def is_unfinished(path: Path) -> bool:
    """Whether a file or folder is the remainder of a process that was killed while writing it.

    Only the names in ``path`` count, so pass paths relative to the folder that is searched.
    """
    return any(part.startswith(".") and part.endswith(SUFFIX) for part in path.parts)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder; no other process may be writing there. Errors are ignored."""
    left = [path for path in folder.rglob(f".*{SUFFIX}") if is_unfinished(path.relative_to(folder))]
    for path in left:
        _remove(path)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path to write to; it is renamed to ``target`` at the end of the block.

    Readers see the old file or the complete new one, even after a crash of the machine. If the block raises, the old
    file stays and the new one is deleted. Parent folders of the target are created.
    """
    with _workplace(target) as aside:
        aside.touch()
        mode = aside.stat().st_mode
        aside.unlink()  # a block that writes nothing is an error
        yield aside
        aside.chmod(mode)  # as the umask says, also where a library writes files for their owner only
        flush(aside)
        os.replace(aside, target)
        flush(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty temporary folder to fill; it replaces ``target`` at the end of the block.

    If the block raises, an existing folder stays unchanged and the new one is deleted.
    """
    with _workplace(target) as aside:
        aside.mkdir()
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                file.chmod(aside.stat().st_mode & 0o666)  # as the umask says, see atomic_file
        flush_all(aside)
        if target.exists():
            os.replace(target, aside.with_name("old"))
        os.replace(aside, target)
        flush(target.parent)


def write_text(target: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8 with ``\\n`` line endings; lone surrogates are allowed."""
    with atomic_file(target) as aside, open(aside, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        file.write(text)


def flush_all(folder: Path) -> None:
    """Flush a folder and everything in it to disk: contents, and the names under which they are found."""
    for path in folder.rglob("*"):
        if path.is_dir() or path.is_file():
            flush(path)
    flush(folder)


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)  # Windows flushes only what may be written
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A path named ``new`` in a private temporary folder beside ``target``, which is removed after the block.

    The folder's name cannot be guessed, so no link can be put in its way, and the temporary files that a library makes
    beside the one it writes stay in it.
    """
    for folder in reversed([one for one in (target.parent, *target.parent.parents) if not one.exists()]):
        folder.mkdir(exist_ok=True)
        flush(folder.parent)
    # Part of the name is enough, so that the temporary name is never too long.
    place = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=SUFFIX, dir=target.parent))
    try:
        yield place / f"new{target.suffix}"
    finally:
        _remove(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
