"""The kinds of things that ``list`` and ``show`` print."""

from __future__ import annotations

import inspect
from pathlib import Path

from ..errors import Problem, UserError, did_you_mean

COMPONENT_KINDS = ("task", "head", "metric", "backbone", "encoder", "adaptation", "baseline")
EXTENSION_KINDS = ("filter", "reader", "media-type")
"""Named here too, since importing ``tasks.extensions`` would slow down every command."""

KINDS = (*COMPONENT_KINDS, *EXTENSION_KINDS, "recipe", "plugin")
PLURALS = {f"{kind}s": kind for kind in KINDS}
KIND_NAMES = "|".join(PLURALS)


def kind_named(word: str) -> str:
    """The kind with this name, singular or plural. Raises UserError for an unknown one."""
    kind = PLURALS.get(word, word)
    if kind not in KINDS:
        hint = did_you_mean(word, PLURALS) or f"expected one of {', '.join(PLURALS)}"
        raise UserError(Problem(f"there is no kind {word!r}", file="command line", key="KIND", hint=hint))
    return kind


def doc_of(thing: type) -> str:
    """The docstring of a class, not that of a base class; empty if it has none."""
    return inspect.cleandoc(thing.__doc__ or "") if "__doc__" in vars(thing) else ""


def first_line(text: str) -> str:
    """The first line of a text."""
    return text.partition("\n")[0].strip()


def recipe_summary(path: Path) -> str:
    """The first line of a recipe's header comment; empty if it has none."""
    line = first_line(path.read_text("utf-8"))
    return line.lstrip("#").strip() if line.startswith("#") else ""
