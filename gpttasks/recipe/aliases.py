"""How much a YAML document grows when its aliases are expanded, counted before they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_VALUES = 10_000
"""The maximum number of values that the aliases of a document may stand for."""
MAX_CHARACTERS = 1_000_000
"""The maximum number of characters in these values."""


def too_much(root: Any) -> tuple[Any, str] | None:
    """The first node of ruamel.yaml whose aliases stand for too much, and what they stand for; None if none does.

    The time is linear in the length of the document: a node is counted once, however many aliases it has.
    """
    grown: dict[int, tuple[int, int]] = {}  # of each finished node, by id: the values and characters of its expansion
    written: set[int] = set()
    stack = [(root, False)]
    values = characters = 0  # of everything written so far, without expansion
    while stack:
        node, is_finished = stack.pop()
        if not is_finished:
            if id(node) not in written:  # an alias of a node that is not finished is inside it, and reported elsewhere
                written.add(id(node))
                stack.append((node, True))
                stack += [(child, False) for child in _children(node)]
            continue
        length = len(node.value) if isinstance(node.value, str) else 0
        values, characters = values + 1, characters + length
        inner = [grown.get(id(child), (0, 0)) for child in _children(node)]
        expanded = 1 + sum(some for some, _ in inner), length + sum(some for _, some in inner)
        grown[id(node)] = expanded
        for more, limit, what in (
            (expanded[0] - values, MAX_VALUES, "values"),
            (expanded[1] - characters, MAX_CHARACTERS, "characters"),
        ):
            if more > limit:
                return node, f"the aliases in this value stand for {more:,} {what}, expected at most {limit:,}"
    return None


def _children(node: Any) -> Iterator[Any]:
    """The nodes directly in a list or a mapping, keys included."""
    if isinstance(node.value, str):
        return
    for child in node.value:
        yield from child if isinstance(child, tuple) else (child,)
