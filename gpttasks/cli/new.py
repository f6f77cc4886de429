"""``gpttasks new``: files to begin with."""

from __future__ import annotations

from typing import Annotated

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
