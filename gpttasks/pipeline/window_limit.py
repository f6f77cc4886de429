"""``score.limit`` where texts are read in windows: it counts the windows, since a single text may take hours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import BackboneError, DataError
from ..example import Example, prompt_text
from ..hashing import seeded_hash
from ..tasks.splits import set_digest

if TYPE_CHECKING:
    from ..heads.base import Head
    from ..tasks.task import Task
    from .parts import RunParts


def limits_windows(head: Head, task: Task) -> bool:
    """Whether ``score.limit`` counts windows: the head reads whole texts in windows, and the task has no targets."""
    return head.reads_windows and "target" not in (task.fields or ())


def limit_windows(parts: RunParts) -> None:
    """Keep the first ``score.limit`` windows of the scored texts. The head has a backbone.

    Texts are taken in the order of their hash of (data_seed, id). The last of them is cut before a word, or before a
    character if it has no white space, to the longest beginning that has no more windows than are left. Texts that have
    no more windows in all stay as they are. Raises BackboneError for a backbone without a tokenizer.
    """
    recipe, limit = parts.recipe, parts.recipe.score.limit
    if limit is None or parts.rows or not limits_windows(parts.head, parts.task):
        return
    if getattr(parts.head.backbone, "tokenizer", None) is None:
        message = f"score.limit is {limit}, which counts windows of tokens, but the backbone has no tokenizer here"
        raise BackboneError(message, hint="leave score.limit out")
    part = parts.sets[parts.scored_role]
    ordered = sorted(part.examples, key=lambda example: seeded_hash(recipe.data_seed, part.role, example.id))
    kept: dict[str, Example] = {}
    left, cut = limit, ""
    for example in ordered:
        if not left:
            break
        windows = _windows(parts.head, example)
        if windows > left:
            kept[example.id] = _beginning(parts.head, example, left)
            cut = f", the last one only its first {left:,} of {windows:,} windows"
            break
        kept[example.id] = example
        left -= windows
    if len(kept) == len(ordered) and not cut:
        return
    examples = tuple(kept[example.id] for example in part.examples if example.id in kept)
    texts = f"{len(examples):,} of {len(ordered):,} texts by hash, data_seed {recipe.data_seed}"
    made = f"{part.made}; limited to {limit:,} window{'' if limit == 1 else 's'}: {texts}{cut}"
    limited = replace(part, examples=examples, made=made, digest=set_digest(examples, part.definition))
    parts.sets = {**parts.sets, parts.scored_role: limited}


def _windows(head: Head, example: Example) -> int:
    return sum(len(head.rows(request)) for request in head.requests(example))


def _beginning(head: Head, example: Example, windows: int) -> Example:
    """The example with the longest beginning of its text that is read in at most ``windows`` windows, at least one."""
    text = prompt_text(example.prompt)
    words = [match.start() for match in re.finditer(r"(?<=\S)\s+", text)]
    for ends in (words, range(1, len(text))):
        place = _last_that_fits(head, example, windows, ends)
        if place is not None:
            return _first_characters(example, ends[place])
    raise DataError(f"example {example.id}: its first character does not fit {windows} windows")


def _last_that_fits(head: Head, example: Example, windows: int, ends: Sequence[int]) -> int | None:
    """The index of the last of ``ends`` up to which the text fits; None if the first does not."""

    def fits(place: int) -> bool:
        return _windows(head, _first_characters(example, ends[place])) <= windows

    if not ends or not fits(0):
        return None
    low, step = 0, 256
    while low + step < len(ends) and fits(low + step):  # from the beginning: long texts take long to tokenise
        low, step = low + step, 2 * step
    high = min(low + step, len(ends))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _first_characters(example: Example, characters: int) -> Example:
    prompt, left = [], characters
    for part in example.prompt:
        prompt += [part.piece(0, left)] if left > 0 else []
        left -= len(part.text)
    return replace(example, prompt=tuple(prompt))
