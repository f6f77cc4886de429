"""Relative names of folders that a run was made with and that no longer exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..recipe.digest import recipe_digest
from ..recipe.document import read_document
from ..recipe.paths import path_keys
from ..recipe.rules import RUN_BACKBONE
from ..records.folder import RECIPE
from ..records.run import RECORD, read_run

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe, Use


def with_recorded_folders(recipe: Recipe, plugins: Plugins, folder: Path) -> Recipe:
    """The recipe with the paths of the run in ``folder``, if it is the run's recipe and only folders are gone since.

    A relative name such as ``data`` is a path if a folder of that name exists, and else the id of a model or data set
    on the Hub. Without its folder, a recipe would become another one, and nobody would learn what is missing. Any other
    recipe is returned unchanged.
    """
    if not (folder / RECORD).is_file() or not (folder / RECIPE).is_file():
        return recipe
    digest = recipe_digest(recipe)
    try:
        recorded = read_run(folder).record.digest
        before = {} if recorded == digest else read_document(folder / RECIPE).data
    except UserError:  # a damaged folder is reported when it is opened
        return recipe
    if not before:
        return recipe
    candidate = _with_folders_of(recipe, before, plugins)
    return candidate if recipe_digest(candidate) == recorded else recipe


def _with_folders_of(recipe: Recipe, before: Any, plugins: Plugins) -> Recipe:
    updates: dict[str, Any] = {}
    for key in ("backbone", "encoder"):
        use = getattr(recipe, key)
        if use is not None:
            updates[key] = _use_with_folder(use, _value(before, key), plugins)
    if hasattr(recipe.data, "path"):
        path = _gone(recipe.data.path, _value(before, "task", "data", "path"))
        updates["data"] = recipe.data.model_copy(update={"path": path})
    return recipe.model_copy(update=updates)


def _use_with_folder(use: Use, before: Any, plugins: Plugins) -> Use:
    """A component with the folders that were recorded; a name without its folder is not known as that of a run."""
    options = {
        key: _gone(getattr(use.options, key), _value(before, key))
        for key in path_keys(type(use.options))
        if hasattr(use.options, key)
    }
    if _value(before, "use") != RUN_BACKBONE or use.name == RUN_BACKBONE:
        return use.model_copy(update={"options": use.options.model_copy(update=options)})
    known = plugins.get("backbone", RUN_BACKBONE).Options
    shared = {key: value for key, value in use.options.model_dump(exclude_defaults=True).items() if key != "path"}
    if shared or "path" not in options:
        return use
    return use.model_copy(update={"name": RUN_BACKBONE, "options": known.model_validate({"path": options["path"]})})


def _gone(now: Any, before: Any) -> Any:
    """The recorded absolute path of a relative name whose folder does not exist any more; else the value itself."""
    if isinstance(now, list) and isinstance(before, list) and len(now) == len(before):
        return [_gone(one, other) for one, other in zip(now, before, strict=True)]
    if not isinstance(now, str) or not isinstance(before, str) or Path(now).is_absolute():
        return now
    path, parts = Path(before), Path(now).parts
    is_gone = path.is_absolute() and path.parts[-len(parts) :] == parts and not path.exists()
    return before if is_gone else now


def _value(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values
