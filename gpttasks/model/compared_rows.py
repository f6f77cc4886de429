"""Test rows that compare a fast path with plain rows, to find out what a model can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .left_padding import PaddedBatch
from .ragged_attention import forward_ragged
from .small import SHORT_LENGTH
from .stand_in import StandIn
from .tree_attention import MaskedRow, compute_prefix, forward_rows

if TYPE_CHECKING:
    from .causal_lm import CausalLM

BEGINNING, BRANCH = 9, 4
"""The number of tokens in the test text, and in the longer of its two continuations."""

Reader = Callable[["CausalLM", MaskedRow, Any], torch.Tensor]


@dataclass(frozen=True)
class Scope:
    """How much a test covers.

    length: the number of tokens in the beginning of its texts; brief: whether it leaves out what was tested with a
    small model of the same class.
    """

    length: int = BEGINNING
    brief: bool = False


FULL, BRIEF = Scope(), Scope(brief=True)
BEYOND_ALL_CHANGES = Scope(SHORT_LENGTH + BEGINNING)
"""The scope of the tests of a small model."""


def by_itself(lm: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    """The states [tokens, hidden] of a row in a batch of one."""
    return forward_rows(lm, [row], cache)[0]


def after_another(lm: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    """The states [tokens, hidden] of a row that follows another one without padding."""
    other = MaskedRow(row.ids[:3], np.arange(3), None)
    return forward_ragged(lm, [other, row], cache)[0, len(other.ids) :]


def why_different(lm: CausalLM, share: bool, read: Reader, scope: Scope) -> str | None:
    """Why two texts cannot be processed in one row; None if they can. The arguments are those of ``_difference``."""
    try:
        off = _difference(lm, share, read, scope)
    except Exception as error:  # models raise errors of many types for masks that they do not accept
        return f"a custom mask raises {type(error).__name__}"
    return None if off <= 1 else f"test rows differ from plain ones by {off:.2g} times the tolerance"


def _difference(lm: CausalLM, share: bool, read: Reader, scope: Scope) -> float:
    """The difference of the states of two texts in one row from those of plain rows, as a multiple of the tolerance.

    share: the texts begin alike, and their beginning is processed once; read: returns the states of the row.
    """
    sizes = (fitting(lm, scope.length), BRANCH, 3)
    context, *branches = (drawn_ids(lm, size, seed) for seed, size in enumerate(sizes))
    begins = [context, context] if share else [context, context[::-1]]
    worst = 0.0
    with torch.no_grad():
        plain = [
            lm.causal_lm.base_model(
                input_ids=torch.tensor([begin + branch], device=lm.device), use_cache=False
            ).last_hidden_state[0]
            for begin, branch in zip(begins, branches, strict=True)
        ]
        for known in _prefixes(sizes[0], scope) if share else (0,):
            row, places = _two_in_one(begins, branches, share, known)
            cache = compute_prefix(lm, context[:known], known + len(row.ids)) if known else None
            states = read(lm, row, cache)
            for place, branch, alone in zip(places, branches, plain, strict=True):
                worst = max(worst, off_by(lm, states[place : place + len(branch)], alone[-len(branch) :]))
    return worst


def _prefixes(length: int, scope: Scope) -> list[int]:
    """How much of a common beginning of ``length`` tokens is in a cache: nothing, some of it, or nearly all."""
    return sorted({min(5, length - 1)} if scope.brief else {0, min(5, length - 1), max(0, length - 3)})


def _two_in_one(
    begins: Sequence[list[int]], branches: Sequence[list[int]], share: bool, known: int
) -> tuple[MaskedRow, list[int]]:
    """A row of two texts, without the first ``known`` tokens of their beginning, and the places of their branches."""
    ids: list[int] = []
    positions: list[int] = []
    owners: list[int] = []  # the number of each token's text; -1: both texts
    places = []
    for number, (begin, branch) in enumerate(zip(begins, branches, strict=True)):
        if not share or not number:
            ids += begin[known:]
            positions += range(known, len(begin))
            owners += [-1 if share else number] * (len(begin) - known)
        places.append(len(ids))
        ids += branch
        positions += range(len(begin), len(begin) + len(branch))
        owners += [number] * len(branch)
    owner = np.array(owners)
    sees = np.tril((owner[None] == -1) | (owner[None] == owner[:, None]))
    return MaskedRow(ids, np.array(positions), sees), places


def padded_difference(lm: CausalLM, shared: int, length: int) -> float:
    """The difference between the logits of padded rows and those of plain rows, as a multiple of the tolerance."""
    length = fitting(lm, length)
    drawn = drawn_ids(lm, length + 8, seed=1)
    rows, next_tokens = [drawn[:length], [*drawn[:shared], *drawn[length : length + 4]]], drawn[-2:]
    worst = 0.0
    with torch.no_grad():
        cache = compute_prefix(lm, drawn[:shared], shared) if shared else None
        batch = PaddedBatch(lm, rows, length + 1, shared, cache)
        plain = [
            lm.causal_lm(input_ids=torch.tensor([[*row, token]], device=lm.device), use_cache=False).logits[0, -2:]
            for row, token in zip(rows, next_tokens, strict=True)
        ]
        for step in range(2):
            worst = max(
                worst, *(off_by(lm, batch.logits[index], logits[step].float()) for index, logits in enumerate(plain))
            )
            if not step:
                batch.go_on(next_tokens)
    return worst


def off_by(lm: CausalLM, got: torch.Tensor, expected: torch.Tensor) -> float:
    """The difference as a multiple of the tolerance for the model's precision: the median, or that of a small model's
    worst number. In a large model, rounding may send a few tokens to other experts.
    """
    difference, size = (got - expected).abs().float(), expected.abs().float().median() + 1e-6
    if isinstance(lm, StandIn):
        return float(difference.max() / size) / 1e-3
    return float(difference.median() / size) / (1e-3 if lm.causal_lm.dtype == torch.float32 else 0.1)


def fitting(lm: CausalLM, length: int) -> int:
    """At most ``length`` tokens, with which a text and its continuation fit the model and its short rotary factors."""
    return max(1, min(length, (lm.supports.rope_changes_at or lm.context) - BRANCH))


def drawn_ids(lm: CausalLM, length: int, seed: int) -> list[int]:
    """Random token ids, the same every time."""
    vocabulary = int(lm.causal_lm.get_input_embeddings().weight.shape[0])
    return torch.randint(0, vocabulary, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
