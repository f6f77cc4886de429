"""The files of a plugin, and their digest."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from ..hashing import content_digest
from ..remembered_digests import digests_of
from ..trust import RUN_RECORD
from .from_source import executed_digest, files_read, is_installed
from .registry import PluginRecord


def source_digest(plugin: PluginRecord) -> str:
    """The SHA-256, in hex, of the names and contents of the plugin's files.

    Those of a package are all its files, Python or data. Modules that they import count too, if they belong neither to
    Python nor to an installed distribution: a helper beside a plugin file, or a package that is not installed. Other
    files in the folder of a plugin file count if it, or such a module, read them while it was imported. What is read
    later does not: it should be an option of the type ``RecipePath``, whose file a run records.
    """
    return _digest(plugin.package, plugin.origin, plugin.sha256)


@functools.cache
def _digest(package: str, origin: str, sha256: str | None) -> str:
    """Computed once in a process, which runs the code that it has imported even if the files change."""
    files = sorted(_files(package, origin, sha256))
    digests = digests_of({str(file): file for _, file in files})
    content = [[name, executed_digest(file) or digests[str(file)]] for name, file in files]
    read = sorted([name, digest] for _, file in files for name, digest in files_read(file).items())
    return content_digest([*content, *read])


def source_files(plugin: PluginRecord) -> list[tuple[str, Path]]:
    """The files of the plugin's modules and packages, with names that do not depend on where the plugin is."""
    return _files(plugin.package, plugin.origin, plugin.sha256)


def _files(package: str, origin: str, sha256: str | None) -> list[tuple[str, Path]]:
    file = Path(origin)
    if sha256 is not None and file.is_file():
        named = {file.resolve(): ""}  # the file may be renamed
    else:
        named = {path.resolve(): name for path, name in _names(_module_files(package))}
    queue = list(named)
    while queue:
        for module in _imports(queue.pop()):
            for path, name in _names(_local_files(module)):
                if path.resolve() not in named:
                    named[path.resolve()] = name
                    queue.append(path.resolve())
    return [(name, path) for path, name in named.items()]


def _names(files: list[Path]) -> Iterator[tuple[Path, str]]:
    """The files, with their paths from the folder of their package."""
    top = files[0].parent if files else Path()
    for file in files:
        yield file, file.relative_to(top).as_posix() if file.is_relative_to(top) else file.name


def _module_files(module: str) -> list[Path]:
    """The file of a top-level module, or all files of a package; empty if there is neither.

    A folder without ``__init__.py`` is searched for Python files only: it may be any folder.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        pattern = "*" if spec.origin else "*.py"
        found = [file for folder in spec.submodule_search_locations for file in Path(folder).rglob(pattern)]
        runs = {file.parent for file in found if file.name == RUN_RECORD}
        written = (file for file in found if file.is_file() and _is_written(file) and not runs & {*file.parents})
        return sorted(written)
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _is_written(file: Path) -> bool:
    """Whether a file of a package was written by people, and not by Python or an editor."""
    made = file.suffix in (".pyc", ".log", ".tmp") or file.name.endswith("~") or "__pycache__" in file.parts
    return not made and not any(part.startswith(".") for part in file.parts[-3:])


def _local_files(module: str) -> list[Path]:
    """The files of a module that nobody installed; empty for any other."""
    if module in sys.stdlib_module_names or module == "gpttasks":
        return []
    files = _module_files(module)
    return [] if any(is_installed(file) for file in files) else files


def _imports(file: Path) -> Iterator[str]:
    """The top-level modules that a file imports, in functions too; without those of relative imports."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
