"""A new recipe from an existing one, with its comments."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import Problem, RecipeError
from ..plugins import Plugins, load_plugins
from .assemble import task_file_location, with_task_file
from .document import Document, find_recipe, read_document
from .paths import absolute
from .resolve import resolved_paths
from .schema import NAME_PATTERN

Edits: TypeAlias = "dict[tuple[int, int], str]"
"""Replacements for spans of characters."""

_COMMAND = re.compile(r"(^[ \t]*#.*?\bgpttasks[ \t]+(?:run|check)[ \t]+)(\S+)", re.MULTILINE)
_PLAIN = re.compile(r"[\w./][\w./-]*")  # needs no quotes anywhere in YAML
_ANCHOR = re.compile(r"&\S+\s+")


def new_recipe(name: str, source: str | Path, plugins: Plugins | None = None) -> Path:
    """Write ``NAME.yaml`` in the working directory and return its path.

    It has the text of ``source``, a file or the name of a bundled recipe, with the new name, with the new file in the
    commands of the header, and with relative paths that lead to the same files from the new folder.

    Raises RecipeError for an invalid name, an invalid source, and an existing file.
    """
    plugins = load_plugins() if plugins is None else plugins
    if not re.fullmatch(NAME_PATTERN, name):
        expected = "letters, digits, ., - and _, beginning with a letter or digit"
        raise RecipeError(Problem(f"got {name!r} as the name of a recipe, expected {expected}", file="command line"))
    target = Path(f"{name}.yaml")
    source_path = find_recipe(str(source), plugins.recipes())
    document = read_document(source_path)
    # The files of a bundled recipe are in the installed package, which has no fixed place relative to the new file.
    bundled = source_path in plugins.recipes().values()
    edits = _path_edits(document, plugins, None if bundled else Path.cwd()) | _name_edit(document, name)
    old_names = {str(source), source_path.name, source_path.stem, str(document.data.get("name"))}
    text = _with_commands(_edited(document.text, edits), old_names, target.name)
    try:
        with target.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        hint = "choose another name, or move the file"
        raise RecipeError(Problem("the file exists already", file=str(target), hint=hint)) from None
    except OSError as error:
        raise RecipeError(Problem(f"cannot be written: {error.strerror or error}", file=str(target))) from error
    return target


def _path_edits(document: Document, plugins: Plugins, folder: Path | None) -> Edits:
    """Each relative path in the document, rewritten to start at ``folder``; an absolute path if it is None."""
    edits: Edits = {}
    paths = {
        location: path
        for location, path in resolved_paths(with_task_file(document), plugins).items()
        if document.places.get(location) is not None  # a task file is not copied
    }
    task_file = task_file_location(document)
    if task_file is not None:
        named = document.data["task"]["use"] if len(task_file) > 1 else document.data["task"]
        paths[task_file] = absolute(named, document.place(task_file).base)
    for location, path in paths.items():
        value: Any = document.data
        for part in location:
            value = value[part]
        span = document.place(location).span
        if span is None or Path(value).expanduser().is_absolute():
            continue
        if folder is not None:
            path = Path(os.path.relpath(path, folder)).as_posix()
            path = path if path.startswith("..") else f"./{path}"
        edits[span] = path if _PLAIN.fullmatch(path) else json.dumps(path, ensure_ascii=False)
    return edits


def _name_edit(document: Document, name: str) -> Edits:
    """The new name in place of the old one, or on a new line before the first key."""
    span = document.place(("name",)).span
    assert span is not None  # a document read from a file has a span for every value
    if "name" in document.data:
        return {span: name}
    return {(span[0], span[0]): f"name: {name}\n"}


def _edited(text: str, edits: Edits) -> str:
    for (start, end), new in sorted(edits.items(), reverse=True):
        anchor = _ANCHOR.match(text[start:end])
        text = text[:start] + (anchor[0] if anchor else "") + new + text[end:]
    return text


def _with_commands(text: str, old_names: set[str], new_name: str) -> str:
    """The text with the new file in place of OLD in comments such as ``gpttasks run OLD``."""
    return _COMMAND.sub(lambda match: match[1] + (new_name if match[2] in old_names else match[2]), text)
