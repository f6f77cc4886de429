"""Imports plugin files, and modules beside them, from their source, and notes which data files they read meanwhile.

Python takes the code of a module from ``__pycache__`` if the source has the size and time that are noted there. What a
run records is the digest of the source, so that must be what is executed.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from ..hashing import bytes_digest, file_digest

_INSTALLED = tuple(
    {str(Path(path).resolve()) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib")}
)
_SITE = ("site-packages", "dist-packages")
_CODE = (*importlib.machinery.all_suffixes(), ".pyc")

_executed: dict[str, str] = {}
"""By path, the SHA-256 of the source that was executed."""
_read: dict[str, dict[str, str]] = {}
"""By the path of a plugin file, the SHA-256 of each file in its folder that it read while it was imported."""
_opened: list[str] | None = None
"""The paths that were opened for reading while a plugin is imported; None at other times."""


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed distribution."""
    return any(part in _SITE for part in file.parts) or str(file.resolve()).startswith(_INSTALLED)


def executed_digest(file: Path) -> str | None:
    """The SHA-256 of the source of a module that was imported from its source; None for any other file."""
    return _executed.get(str(file.resolve()))


def files_read(plugin: Path) -> dict[str, str]:
    """The files in a plugin file's folder that were read while it was imported, by name, with their SHA-256.

    Files that were written meanwhile do not count, nor those that a C extension opened.
    """
    return _read.get(str(plugin.resolve()), {})


class SourceLoader(SourceFileLoader):
    """Compiles the source each time: no code is read from ``__pycache__``."""

    def get_code(self, fullname: str) -> types.CodeType:
        """The code of the module; the digest of its source is kept."""
        source = self.get_data(self.path)
        _executed[str(Path(self.path).resolve())] = bytes_digest(source)
        code: types.CodeType = self.source_to_code(source, self.path)
        return code


class _Finder(MetaPathFinder):
    """Finds modules in the folders of plugin files as Python does, and has them loaded from source."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec if its file is in one of the folders and nobody installed it; else None."""
        top = fullname.partition(".")[0]
        if top == "gpttasks" or top in sys.stdlib_module_names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        file = Path(spec.origin).resolve()
        if is_installed(file) or not self.folders.intersection(file.parents):
            return None
        spec.loader = SourceLoader(fullname, spec.origin)
        return spec


_finder = _Finder()


@contextmanager
def importing(plugin: Path) -> Iterator[None]:
    """While a plugin file is imported: modules in its folder come from source, and files that are read are noted.

    Modules that the plugin imports later come from source as well.
    """
    global _opened
    if not _finder.folders:
        sys.meta_path.insert(0, _finder)
        sys.addaudithook(_note_opened)  # cannot be removed; it does nothing at other times
    folder = plugin.resolve().parent
    _finder.folders.add(folder)
    outer, _opened = _opened, []
    try:
        yield
    finally:
        opened, _opened = _opened, outer
        files = {Path(name).resolve() for name in opened}
        found = {
            file.relative_to(folder).as_posix(): file_digest(file)
            for file in files
            if folder in file.parents and file.suffix not in _CODE and not is_installed(file) and file.is_file()
        }
        if found:
            _read[str(plugin.resolve())] = found


def _note_opened(event: str, values: tuple[Any, ...]) -> None:
    if event != "open" or _opened is None:
        return
    path, mode, flags = values
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    if isinstance(path, (str, bytes)) and not writes and not (isinstance(mode, str) and set(mode) & set("wxa+")):
        _opened.append(os.path.abspath(os.fsdecode(path)))
