"""Warnings about references in scripts without spaces, which a metric cannot split into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..example import Example

SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
"""Scripts that are written without spaces between words."""
LETTERS = 5
"""This many letters without a space count as more than one word."""


def unspaced_warnings(examples: Sequence[Example], hint: str) -> list[str]:
    """A warning if references contain sentences without spaces; else an empty list."""
    import regex

    pattern = regex.compile("[" + "".join(rf"\p{{Script={name}}}" for name in SCRIPTS) + f"]{{{LETTERS}}}")
    references = [reference for example in examples for reference in example.references]
    count = sum(pattern.search(reference) is not None for reference in references)
    if not count:
        return []
    return [
        f"splits words at spaces, but {count:,} of {len(references):,} references are in a script without spaces, "
        f"so each sentence counts as one word; {hint}"
    ]
