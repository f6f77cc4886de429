"""``gpttasks export``: the trained weights of a run, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import AcceptChanged, PluginFiles, RunName, TrustCode
from .output import say


def export(
    run: RunName,
    merged: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the backbone with the adapter merged into its weights to this new folder."
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None,
        typer.Option(help="The precision of the merged weights; by default fp32."),
    ] = None,
    plugin: PluginFiles = None,
    accept_changed: AcceptChanged = None,
    trust_code: TrustCode = False,
) -> None:
    """Export the trained weights of a run for other tools.

    Prints where the adapter is, or writes the whole model with the adapter merged into its weights.

    Example: gpttasks export runs/imdb-lora-0a1b2c3d4e5f --merged imdb-gpt2
    """
    from ..errors import UserError
    from ..pipeline.export import export_run, left_out
    from ..plugins import load_plugins
    from ..records.dependencies import check_accepted

    if precision and merged is None:
        raise UserError("--precision needs --merged")
    accepted = check_accepted((accept_changed or "").split(","))
    plugins = load_plugins(plugin or [])
    folder = export_run(run, merged, plugins, precision or "fp32", accepted, trust_code=trust_code)
    say(f"the {'merged model is' if merged else 'trained weights are'} in {folder}")
    if missing := left_out(run):
        say(f"not in {folder}: {', '.join(str(run / name) for name in missing)}; gpttasks predict {run} uses them")
