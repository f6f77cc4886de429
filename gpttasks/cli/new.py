"""``gpttasks new``: files to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import PluginFiles
from .output import say


def new_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new recipe; the file is NAME.yaml.")],
    source: Annotated[
        str, typer.Option("--from", metavar="RECIPE", help="The recipe to begin with: a file or a bundled one's name.")
    ],
    plugin: PluginFiles = None,
) -> None:
    """Write a new recipe file, made from another recipe.

    Example: gpttasks new recipe my-reviews --from imdb-lora
    """
    from ..plugins import load_plugins
    from ..recipe import new_recipe as write_recipe

    path = write_recipe(name, source, load_plugins(plugin or []))
    say(f"{path} is written; run it with: gpttasks run {path}")


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the component, such as sarcasm.")],
    kind: Annotated[
        Literal["task", "head", "metric", "encoder", "backbone"], typer.Option("--kind", help="What the plugin adds.")
    ] = "task",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to write, instead of gpttasks-NAME.")
    ] = None,
) -> None:
    """Write a package with a new component, its tests and, where it can be scored by itself, a recipe.

    Example: gpttasks new plugin sarcasm --kind task
    """
    from ..plugins.new import WITH_RECIPE
    from ..plugins.new import new_plugin as write_plugin

    folder = write_plugin(name, kind, out)
    then = f" && gpttasks run {name}-demo" if kind in WITH_RECIPE else ""
    say(f"{folder} is written; try it with: cd {folder} && pip install -e '.[dev]' && pytest{then}")
