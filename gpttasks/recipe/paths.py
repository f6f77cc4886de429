"""Which values of a recipe are paths, and how they are resolved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from ..component import PathMarker
from ..data.options import STANDARD_INPUT
from ..tasks.extensions import current_extensions
from ..terminal import is_address

BUNDLED_RECIPES = (Path(__file__).parents[1] / "bundled_recipes", Path(__file__).parents[2] / "recipes")
"""The folders of the bundled recipes: installed, and in a checkout."""


def wherever_installed(text: str) -> str:
    """A path in the bundled recipes or in a Python package, in a form that is the same on every machine; other text
    unchanged."""
    for folder in BUNDLED_RECIPES:
        prefix = str(folder) + os.sep
        if text.startswith(prefix):
            return "bundled:" + text[len(prefix) :]
    if not os.path.isabs(text):
        return text
    package = _package_of(Path(text))
    return f"package:{Path(text).relative_to(package.parent).as_posix()}" if package else text


def _package_of(path: Path) -> Path | None:
    """The folder of the outermost Python package that contains a path; None if no package does."""
    inside = [folder for folder in path.parents if (folder / "__init__.py").is_file()]
    return inside[-1] if inside else None


def path_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model's fields of the type :data:`~gpttasks.component.RecipePath`, an optional one or a list."""
    return [
        field.alias or name
        for name, field in model.model_fields.items()
        if _has_marker(field.metadata) or _is_path(field.annotation)
    ]


def absolute(text: str, base: Path) -> str:
    """The absolute path of ``text``; a relative one starts at ``base``, and ``~`` is the home folder.

    An address such as ``https://host/file`` is not a path, and is returned unchanged.
    """
    if is_address(text):
        return text
    return os.path.normpath(base / Path(text).expanduser())


def absolute_or_hub_id(text: str, base: Path) -> str:
    """The absolute path of ``text`` if it looks like a path or exists, else ``text`` itself: a Hub id."""
    if text == STANDARD_INPUT:
        return text
    is_file_name = Path(text).suffix.lower() in current_extensions().readers
    looks_like_path = text.startswith((".", "/", "~")) or is_file_name
    return absolute(text, base) if looks_like_path or (base / text).exists() else text


def _is_path(annotation: Any) -> bool:
    return _has_marker(get_args(annotation)) or any(_is_path(inner) for inner in get_args(annotation))


def _has_marker(metadata: Any) -> bool:
    return any(isinstance(item, PathMarker) for item in metadata)
