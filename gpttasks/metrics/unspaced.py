"""Warnings about references in scripts without spaces, which a metric cannot split into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..scripts import UNSPACED, characters_of

if TYPE_CHECKING:
    from ..example import Example

LETTERS = 5
"""This many letters without a space count as more than one word."""


def unspaced_warnings(examples: Sequence[Example], hint: str) -> list[str]:
    """A warning if references contain sentences without spaces; else an empty list."""
    import regex

    pattern = regex.compile(f"{characters_of(*UNSPACED)}{{{LETTERS}}}")
    references = [reference for example in examples for reference in example.references]
    count = sum(pattern.search(reference) is not None for reference in references)
    if not count:
        return []
    return [
        f"splits words at spaces, but {count:,} of {len(references):,} references are in a script without spaces, "
        f"so each sentence counts as one word; {hint}"
    ]
