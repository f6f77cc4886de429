"""Whose Python code may be run: the user's own, but not code that came with a run folder that someone sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import Problem, UserError
from .terminal import say

RUN_RECORD = "run.json"
"""The file that marks a folder as a run."""

FLAG = "--trust-code"

_RECIPE = "recipe.yaml"
_BESIDE_RECIPE = (
    *("events.jsonl", "samples.parquet", "report.html"),
    *("adapter/adapter_config.json", "head/modules.safetensors", "head/tuned.json"),
)
"""What makes a folder with a recipe a run whose record has been lost or removed."""


@dataclass(frozen=True)
class CodeOrigin:
    """Where the options of a component were written, and whether Python code that they name may be run.

    run_folder:
        The run folder that holds the recipe or task file with the options; None for the user's own.
    trusted:
        Whether the user trusts the code of run folders (``--trust-code``).
    """

    run_folder: Path | None = None
    trusted: bool = False

    def announce(self, code: Path | str, named_by: str) -> None:
        """Say on stderr that Python code will be run: a file, or an importable module by its name.

        Call this before the code is imported. Raises UserError if the code lies in a run folder, or the options that
        name it do, unless the user trusts it.
        """
        inside = run_folder_of(code) if isinstance(code, Path) else None
        if not self.trusted and (inside or self.run_folder):
            whose = f"and it came with the run {inside}" if inside else f"for a recipe of the run {self.run_folder}"
            message = f"the Python code in {code} is not run: {named_by} names it, {whose}"
            raise UserError(Problem(message, hint=f"read the code; if you trust it, add {FLAG}"))
        say(f"gpttasks: the code in {code} is run, since {named_by} names it")


OWN_CODE = CodeOrigin()
"""The origin of options that the user has written."""


def run_folder_of(path: Path) -> Path | None:
    """The innermost run folder that a file or folder lies in, also through symbolic links; None if there is none."""
    for place in dict.fromkeys((path.absolute(), path.resolve())):
        found = next((folder for folder in (place, *place.parents) if is_run_folder(folder)), None)
        if found is not None:
            return found
    return None


def origin_of_files(files: Iterable[str], *, trusted: bool) -> CodeOrigin:
    """The origin of options that were written in these files."""
    folders = (run_folder_of(Path(file)) for file in files)
    return CodeOrigin(next((folder for folder in folders if folder is not None), None), trusted)


def is_run_folder(folder: Path) -> bool:
    """Whether a folder has a run's record, or its recipe beside other files that only runs have."""
    if (folder / RUN_RECORD).exists():
        return True
    return (folder / _RECIPE).is_file() and any((folder / name).exists() for name in _BESIDE_RECIPE)
