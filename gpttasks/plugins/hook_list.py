"""The hooks as Markdown, for the author's manual: made from the signatures and docstrings of ``hookspecs``.

``python -m gpttasks.plugins.hook_list plugins/README.md`` renews the list in a file, between its two markers.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import hookspecs
from .hookspecs import PROJECT, RunInfo

BEGIN = "<!-- hooks: made by python -m gpttasks.plugins.hook_list -->"
END = "<!-- end of hooks -->"


def hook_list() -> str:
    """Every hook with its signature and docstring, in their order in ``hookspecs``, and what a RunInfo holds."""
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith(f"{PROJECT}_")]
    entries = [f"#### `{hook.__name__}({_parameters(hook)})`\n\n{_text(hook)}" for hook in hooks]
    return "\n\n".join([*entries, f"#### `RunInfo({_parameters(RunInfo)})`\n\n{_text(RunInfo)}"])


def renewed(text: str) -> str:
    """A text with the list between its two markers. Raises ValueError for a text without them."""
    return put_between(text, BEGIN, END, hook_list())


def put_between(text: str, begin: str, end: str, content: str) -> str:
    """A text with this content between two lines of it. Raises ValueError for a text without them."""
    before, found, rest = text.partition(f"{begin}\n")
    _, closed, after = rest.partition(f"\n{end}")
    if not found or not closed:
        raise ValueError(f"wanted a line {begin!r} and a line {end!r} after it")
    return f"{before}{found}\n{content}\n{closed}{after}"


def _parameters(function: Callable[..., Any]) -> str:
    """Its parameters with their types as they are written."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(f"{parameter.name}: {parameter.annotation}" for parameter in parameters)


def _text(documented: object) -> str:
    """A docstring of reStructuredText in Markdown, as far as ours use it: an indented block is code in both."""
    text = (inspect.getdoc(documented) or "").replace("::\n", ":\n").replace("``", "`")
    return re.sub(r"^(\w+):\n +", r"- `\1`: ", text, flags=re.MULTILINE)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(renewed(file.read_text("utf-8")), encoding="utf-8")
