"""``gpttasks new``: new recipes and plugin packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import PluginFiles
from .output import say


def new_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new recipe; the file is NAME.yaml.")],
    source: Annotated[
        str,
        typer.Option("--from", metavar="RECIPE", help="The recipe to copy: a file or the name of a bundled recipe."),
    ],
    plugin: PluginFiles = None,
) -> None:
    """Create a recipe file from another recipe.

    Example: gpttasks new recipe my-reviews --from imdb-lora
    """
    from ..plugins import load_plugins
    from ..recipe import new_recipe as write_recipe

    path = write_recipe(name, source, load_plugins(plugin or []))
    say(f"created {path}; run it with: gpttasks run {path}")


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the component, such as sarcasm.")],
    kind: Annotated[
        Literal["task", "head", "metric", "encoder", "backbone"], typer.Option("--kind", help="What the plugin adds.")
    ] = "task",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to create, instead of gpttasks-NAME.")
    ] = None,
) -> None:
    """Create a package with a new component, its tests and, if the component can be scored alone, a recipe.

    Example: gpttasks new plugin sarcasm --kind task
    """
    from ..plugins.new import WITH_RECIPE
    from ..plugins.new import new_plugin as write_plugin

    folder = write_plugin(name, kind, out)
    run_demo = f" && gpttasks run {name}-demo" if kind in WITH_RECIPE else ""
    say(f"created {folder}; try it with: cd {folder} && pip install -e '.[dev]' && pytest{run_demo}")
