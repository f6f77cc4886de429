"""The hooks as Markdown, for the author's manual: generated from the signatures and docstrings of ``hookspecs``.

``python -m gpttasks.plugins.hook_list plugins/README.md`` updates the list in that file, between its markers.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..markdown import put_between
from . import hookspecs
from .hookspecs import PROJECT, RunInfo

BEGIN = "<!-- hooks: made by python -m gpttasks.plugins.hook_list -->"
END = "<!-- end of hooks -->"


def hook_list() -> str:
    """Every hook with its signature and docstring, in the order of ``hookspecs``, and the fields of RunInfo."""
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith(f"{PROJECT}_")]
    entries = [f"#### `{hook.__name__}({_parameters(hook)})`\n\n{_text(hook)}" for hook in hooks]
    return "\n\n".join([*entries, f"#### `RunInfo({_parameters(RunInfo)})`\n\n{_text(RunInfo)}"])


def renewed(text: str) -> str:
    """The text with the current list between the two markers. Raises ValueError if it does not have them."""
    return put_between(text, BEGIN, END, hook_list())


def _parameters(function: Callable[..., Any]) -> str:
    """The parameters with their types as written in the source."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(f"{parameter.name}: {parameter.annotation}" for parameter in parameters)


def _text(documented: object) -> str:
    """A reStructuredText docstring in Markdown, for the syntax of the hooks: an indented block is code in both."""
    text = (inspect.getdoc(documented) or "").replace("::\n", ":\n").replace("``", "`")
    return re.sub(r"^(\w+):\n +", r"- `\1`: ", text, flags=re.MULTILINE)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(renewed(file.read_text("utf-8")), encoding="utf-8")
