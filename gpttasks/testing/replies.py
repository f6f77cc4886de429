"""Compares the replies of two engines, or of two calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ..answer import close
from ..engine.plain import LocalEngine
from ..engine.shared import SharedEngine
from ..requests import Generate, Reply, Request


def shared_difference(backbone: Any, modules: Any, requests: Sequence[Request]) -> str | None:
    """The first difference between the plain and the shared engine's replies; None if they are the same."""
    plain = LocalEngine(backbone, modules, 512).answer(requests)
    shared = SharedEngine(backbone, modules, 512).answer(requests)
    return difference(plain, shared, requests)


def difference(left: Sequence[Reply], right: Sequence[Reply], requests: Sequence[Request]) -> str | None:
    """The first field in which replies to the same requests differ, with both values; None if none does."""
    if len(left) != len(right):
        return f"{len(left)} replies and {len(right)}"
    for one, other, request in zip(left, right, requests, strict=True):
        if isinstance(request, Generate) and (getattr(one, "near_tie", False) or getattr(other, "near_tie", False)):
            continue  # with other texts in the batch, another token may be chosen
        if type(one) is not type(other):
            return f"a {type(one).__name__} and a {type(other).__name__}"
        for field in fields(one):
            values = getattr(one, field.name), getattr(other, field.name)
            if field.name not in ("greedy", "near_tie", "preferred") and not close(*values):
                return f"{field.name} {values[0]!r} and {values[1]!r}"
    return None
