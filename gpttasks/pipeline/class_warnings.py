"""Warnings about classes that the answers of a run disadvantage: by the lengths of their words, or altogether."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..answer import Answer
from ..example import Example

ENOUGH = 5
"""Right answers of a class, and scored examples for each class, below which a class that never wins may be chance."""
NAMED = 5
"""Classes that a warning names."""


def length_warning(examples: Sequence[Example], answers: Sequence[Answer]) -> str | None:
    """Classes whose words have different numbers of tokens, which log-likelihoods that are not normalised compare.

    None if the examples have different choices, or the answers do not record numbers of tokens.
    """
    choices = _classes(examples)
    tokens = answers[0].detail.get("tokens") if choices else None
    if not isinstance(tokens, (list, tuple)) or len(tokens) != len(choices) or len(set(tokens)) < 2:
        return None
    counts = [f"{choice!r} {count}" for choice, count in zip(choices, tokens, strict=True)]
    return (
        f"the choices have different numbers of tokens ({_some(counts)}), and head.normalisation is none: a choice of "
        "more tokens wins less easily; try normalisation: tokens, or words of equal length"
    )


def never_answered(examples: Sequence[Example], answers: Sequence[Answer]) -> str | None:
    """Classes that are often right and were never answered; None if there are none, or too few examples to say so."""
    choices = _classes(examples)
    if len(examples) < ENOUGH * len(choices) or not choices:
        return None
    right = Counter(example.label for example in examples)
    given = {answer.value for answer in answers if isinstance(answer.value, int)}
    missed = [index for index in range(len(choices)) if index not in given and right[index] >= ENOUGH]
    if not given or not missed:
        return None
    names = [f"{choices[index]!r}, right for {right[index]:,} of {len(examples):,} examples" for index in missed]
    return f"never answered: {_some(names, '; ')}"


def _classes(examples: Sequence[Example]) -> tuple[str, ...]:
    """The choices that all examples have in common and in one order; empty if they differ."""
    first = examples[0].choices if examples else ()
    return first if all(example.choices == first for example in examples) else ()


def _some(texts: Sequence[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(texts) - NAMED:,} more" if len(texts) > NAMED else ""
    return separator.join(texts[:NAMED]) + more
