"""``check --data``: the examples that do not fit the backbone's context, counted in every split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import DataError, Problem, TooLong
from ..requests import Rolling
from .check_prompts import reader_of

if TYPE_CHECKING:
    from ..example import Example
    from ..pipeline.parts import RunParts
    from ..pipeline.too_long import Room
    from ..plugins import Plugins

OverLong: TypeAlias = Mapping[str, Sequence["tuple[Example, Problem]"]]
"""By role, the examples that do not fit, and why."""


def find_over_long(parts: RunParts, plugins: Plugins) -> OverLong | None:
    """The examples of all roles that do not fit; None if the context is known only after the backbone is loaded.

    It downloads nothing.
    """
    from ..pipeline.too_long import Room, asked_roles, over_long

    missing = parts.backbone.underlying(plugins).to_download()
    reader = reader_of(parts, plugins) if missing is None else None
    if reader is None:
        return None
    bound: Any = reader
    parts.head.backbone = bound
    room = Room(reader.tokenizer, reader.context)
    found = {role: list(over_long(parts.head, room, parts.sets[role].examples)) for role in asked_roles(parts)}
    if parts.adaptation.trains:
        found["train"] = list(_over_long_to_train(parts, room))
    return found


def _over_long_to_train(parts: RunParts, room: Room) -> Iterator[tuple[Example, Problem]]:
    from ..pipeline.too_long import may_be_too_long, reserved_tokens

    examples = parts.sets["train"].examples
    reserved = reserved_tokens(parts.head.requests(examples[0]))
    if parts.head.asks == {Rolling}:
        return  # texts are read in windows
    for example in examples:
        if not parts.head.one_item or may_be_too_long(example, room.context, reserved):
            try:
                for _ in parts.head.items(example):
                    pass
            except TooLong as error:
                yield example, error.problems[0]


def refuse_over_long(parts: RunParts, found: OverLong) -> None:
    """Raises DataError, with the count and the first example of each role, unless the recipe skips such examples."""
    from ..pipeline.too_long import placed

    if parts.recipe.data.too_long == "skip":
        return
    problems = []
    for role, over_long in found.items():
        part = parts.sets[role]
        if over_long:
            count = (
                f"{len(over_long):,} of {len(part.examples):,} examples of {role} do not fit the context; the first: "
            )
            problems.append(placed(parts, part, *over_long[0], count))
    if problems:
        raise DataError(problems)
