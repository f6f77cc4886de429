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
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from ..hashing import bytes_digest
from ..remembered_digests import digests_of

_INSTALLED = tuple(
    {str(Path(path).resolve()) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib")}
)
_SITE = ("site-packages", "dist-packages")
_CODE = (*importlib.machinery.all_suffixes(), ".pyc")

_executed: dict[str, str] = {}
"""By path, the SHA-256 of the source that was executed."""
_read: dict[str, dict[str, str]] = {}
"""By the path of a module that was imported from its source, the SHA-256 of each data file that it read meanwhile."""
_opened: list[list[str]] = []
"""The paths that were opened for reading by each module that is being imported, the innermost last."""


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed distribution."""
    return any(part in _SITE for part in file.parts) or str(file.resolve()).startswith(_INSTALLED)


def executed_digest(file: Path) -> str | None:
    """The SHA-256 of the source of a module that was imported from its source; None for any other file."""
    return _executed.get(str(file.resolve()))


def files_read(module: Path) -> dict[str, str]:
    """The data files that a module read while it was imported from its source, by name, with their SHA-256.

    Only files in the folder of a plugin file count, and none that a C extension opened, or that was opened for writing.
    """
    return _read.get(str(module.resolve()), {})


class SourceLoader(SourceFileLoader):
    """Compiles the source each time: no code is read from ``__pycache__``."""

    def get_code(self, fullname: str) -> types.CodeType:
        """The code of the module; the digest of its source is kept."""
        source = self.get_data(self.path)
        _executed[str(Path(self.path).resolve())] = bytes_digest(source)
        code: types.CodeType = self.source_to_code(source, self.path)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the module; which data files it reads meanwhile is kept."""
        file = Path(self.path).resolve()
        _opened.append([])
        try:
            super().exec_module(module)
        finally:
            opened = {Path(name).resolve() for name in _opened.pop()}
            named = {os.path.relpath(path, file.parent).replace(os.sep, "/"): path for path in opened if _is_data(path)}
            outer, _opened[:] = list(_opened), []  # hashing is no reading of the module that imports this one
            _read[str(file)] = digests_of(named)
            _opened[:] = outer


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


def load_from_source(folder: Path) -> None:
    """From now on, modules in this folder of a plugin file are imported from their source."""
    if not _finder.folders:
        # Before Python's own finder, but after those of others, such as that of pytest.
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, _finder)
        sys.addaudithook(_note_opened)  # cannot be removed; it does nothing while no module is imported from source
    _finder.folders.add(folder.resolve())


def _is_data(file: Path) -> bool:
    inside = bool(_finder.folders.intersection(file.parents))
    return inside and file.suffix not in _CODE and not is_installed(file) and file.is_file()


def _note_opened(event: str, values: tuple[Any, ...]) -> None:
    if event != "open" or not _opened:
        return
    path, mode, flags = values
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    if isinstance(path, (str, bytes)) and not writes and not (isinstance(mode, str) and set(mode) & set("wxa+")):
        _opened[-1].append(os.path.abspath(os.fsdecode(path)))
