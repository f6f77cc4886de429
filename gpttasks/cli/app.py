"""The command line: all verbs in one command."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.main

from .cache import cache
from .check import check
from .export import export
from .listing import list_names
from .new import new_plugin, new_recipe
from .predict import predict
from .run import run
from .show import show

# The class of all errors in a command line. Typer does not export it: it is click's own, or a copy of click's.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def build() -> Any:
    """The whole command line."""
    # Plain help texts take a quarter of the time of rich ones.
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(gpttasks)
    for verb in (run, check, predict, export, show, cache):
        app.command()(verb)
    app.command("list")(list_names)
    new = typer.Typer(rich_markup_mode=None, help="Create a recipe or a plugin package.")
    new.callback()(_new)
    new.command("recipe")(new_recipe)
    new.command("plugin")(new_plugin)
    app.add_typer(new, name="new")
    return typer.main.get_command(app)


def _version(requested: bool) -> None:
    if requested:
        from gpttasks import __version__

        typer.echo(f"gpttasks {__version__}")
        raise typer.Exit


def gpttasks(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Prompt a GPT for a language task, fine-tune it, and score both in the same way.

    Start with: gpttasks run quickstart
    """


def _new() -> None:
    """Create a recipe or a plugin package."""
