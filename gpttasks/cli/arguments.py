"""Arguments and options of several verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

RECIPE_HELP = "A recipe file, or the name of a bundled recipe (see gpttasks list recipes)."

RecipeName: TypeAlias = Annotated[str, typer.Argument(metavar="RECIPE", help=RECIPE_HELP, show_default=False)]
Changes: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Recipe keys with new values, such as train.epochs=2. Relative paths start at the working directory.",
        show_default=False,
    ),
]
RunName: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
PluginFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Load a Python file as a plugin; can be repeated."),
]
AcceptChanged: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--accept-changed",
        metavar="KIND,...",
        help="What may have changed since the run was made: base, tokenizer, encoder, plugin, data or versions.",
    ),
]
TrustCode: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="Run Python code that a run folder brings or names; without it, that is refused."
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
