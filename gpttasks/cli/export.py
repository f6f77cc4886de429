"""``gpttasks export``: what a run trained, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import PluginFiles, RunName
from .output import say


def export(
    run: RunName,
    merged: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the backbone with the adapter merged into it to this new folder."),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Hand what a run trained to other tools.

    Says where the adapter is, or writes the whole model with the adapter merged into it.

    Example: gpttasks export runs/imdb-lora-0a1b2c3d4e5f --merged imdb-gpt2
    """
    from ..export import export_run
    from ..plugins import load_plugins

    folder = export_run(run, merged, load_plugins(plugin or []))
    say(f"{'the merged model' if merged else 'what was trained'} is in {folder}")
