"""Tests of what a loaded model can do, on small rows: each fast path has to give the numbers of plain rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .capabilities import YES, Capability, unless
from .left_padding import PaddedBatch, prefix_fits
from .ragged_attention import forward_ragged, restore_attention, select_attention
from .tree_attention import LAYER_KINDS, MaskedRow, attention_masks, compute_prefix, forward_rows

if TYPE_CHECKING:
    from .causal_lm import CausalLM

INDEX_BOUND = frozenset({"gpt_neo"})
"""Models whose local attention depends on the index in the row, whatever the positions are."""
LONGEST_TESTED = 256
"""The largest sliding window that is tested with a text longer than the window."""
BEGINNING, BRANCH = 9, 4
"""The number of tokens in the test text, and in the longer of its two continuations."""

Reader = Callable[["CausalLM", MaskedRow, Any], torch.Tensor]


def self_test(lm: CausalLM) -> None:
    """Complete ``lm.supports``: test everything that does not follow from the config."""
    lm.supports = replace(lm.supports, batches=try_batches(lm), masks=try_masks(lm))
    lm.supports = replace(lm.supports, packing=try_packing(lm), sharing=try_sharing(lm))
    # These two tests depend on the result for sharing.
    lm.supports = replace(lm.supports, ragged=try_ragged(lm), left_padding=try_left_padding(lm))


def try_batches(lm: CausalLM) -> Capability:
    """Whether rows of different lengths can be processed together, padded on the right."""
    lm.supports = replace(lm.supports, batches=YES)
    drawn = torch.randint(0, _vocabulary(lm), (16,), generator=torch.Generator().manual_seed(2)).tolist()
    rows = [drawn[:11], drawn[11:]]
    with torch.no_grad():
        together = lm.forward(rows).states
        off = max(
            _off(lm, states[: len(row)], lm.forward([row]).states[0])
            for row, states in zip(rows, together, strict=True)
        )
    return unless(None if off <= 1 else f"padded rows differ from plain ones by {off:.2g} times the tolerance")


def try_masks(lm: CausalLM) -> Capability:
    """Whether a 4-D mask, and nothing else, decides what a token sees."""
    reason = _unknown_layers(lm)
    if reason is not None:
        return unless(reason)
    length = 6
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, _vocabulary(lm), (1, length))).to(lm.device)
    positions = torch.arange(length, device=lm.device)[None]
    causal = np.tri(length, dtype=bool)
    split = causal.copy()
    split[length // 2 :, : length // 2] = False

    def read(sees: np.ndarray | None) -> torch.Tensor:
        options: dict[str, Any] = {}
        if sees is not None:
            options["attention_mask"] = attention_masks(lm, sees[None], positions.cpu().numpy())
        if lm.supports.positions:  # without them, some models count positions from a mask of another form
            options["position_ids"] = positions
        states: torch.Tensor = lm.causal_lm.base_model(input_ids=ids, use_cache=False, **options).last_hidden_state
        return states

    try:
        with torch.no_grad():
            plain, masked, hidden = read(None), read(causal), read(split)
    except Exception as error:  # models raise errors of many types for masks that they do not accept
        return unless(f"a 4-D mask raises {type(error).__name__}")
    if torch.equal(masked, hidden):
        return unless("it ignores 4-D masks")
    off = _off(lm, masked, plain)
    return unless(None if off <= 1 else f"with a causal 4-D mask its states differ by {off:.2g} times the tolerance")


def try_packing(lm: CausalLM) -> Capability:
    """Whether two texts can be processed in one row."""
    return unless(_why_no_branches(lm, share=False))


def try_sharing(lm: CausalLM) -> Capability:
    """Whether the model can process trees, with and without a prefix in its cache."""
    if not lm.supports.cache:
        return lm.supports.cache
    if not lm.supports.direct_head:
        return lm.supports.direct_head
    return unless(_why_no_branches(lm, share=True))


def try_ragged(lm: CausalLM) -> Capability:
    """Whether trees can be processed one after another without padding.

    If so, the model uses :func:`~gpttasks.model.ragged_attention.attention` from now on.
    """
    if not lm.supports.sharing:
        return lm.supports.sharing
    if lm.device.type != "cpu":
        return unless(f"attention on {lm.device.type} does not return log-sum-exps for masks")
    if not lm.supports.positions:
        return lm.supports.positions
    window = lm.supports.sliding_window or LONGEST_TESTED
    if window < 2 * BRANCH:
        return unless(f"its window of {window} tokens is too short to be tested")
    reason = select_attention(lm.causal_lm)
    if reason is None:
        reason = _why_different(lm, True, _after_another, min(BEGINNING, window - BRANCH))
        if reason is not None:
            restore_attention(lm.causal_lm)
    return unless(reason)


def try_left_padding(lm: CausalLM) -> Capability:
    """Whether prompts can be padded on the left."""
    if not lm.supports.cache:
        return lm.supports.cache
    try:
        off = max(_padded_difference(lm, shared) for shared in ((0, 3) if prefix_fits(lm) else (0,)))
    except Exception as error:  # models raise errors of many types for masks or positions that they do not accept
        return unless(f"padding on the left raises {type(error).__name__}")
    return unless(None if off <= 1 else f"padded rows differ from plain ones by {off:.2g} times the tolerance")


def _why_no_branches(lm: CausalLM, share: bool) -> str | None:
    config = lm.causal_lm.config
    if config.model_type in INDEX_BOUND:
        return f"the attention of {config.model_type} depends on the index in the row"
    window = lm.supports.sliding_window or 0
    length = BEGINNING if window > LONGEST_TESTED else window + BEGINNING
    return _unknown_layers(lm) or _why_different(lm, share, _alone, length)


def _unknown_layers(lm: CausalLM) -> str | None:
    unknown = sorted(set(getattr(lm.causal_lm.config, "layer_types", None) or ()) - LAYER_KINDS)
    return f"the masks of its layers of type {', '.join(unknown)} are unknown" if unknown else None


def _alone(lm: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    return forward_rows(lm, [row], cache)[0]


def _after_another(lm: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    other = MaskedRow(row.ids[:3], np.arange(3), None)
    return forward_ragged(lm, [other, row], cache)[0, len(other.ids) :]


def _why_different(lm: CausalLM, share: bool, read: Reader, length: int) -> str | None:
    try:
        off = _difference(lm, share, read, length)
    except Exception as error:  # models raise errors of many types for masks that they do not accept
        return f"a custom mask raises {type(error).__name__}"
    return None if off <= 1 else f"test rows differ from plain ones by {off:.2g} times the tolerance"


def _difference(lm: CausalLM, share: bool, read: Reader, length: int) -> float:
    """The difference of the states of two texts in one row from those of plain rows, as a multiple of the tolerance.

    share: the texts begin alike, and their beginning is processed once; read: returns the states of the row; length:
    the number of tokens in the beginning.
    """
    random = np.random.default_rng(0)
    length = min(length, lm.context - BRANCH)
    context, *branches = (random.integers(0, _vocabulary(lm), size).tolist() for size in (length, BRANCH, 3))
    begins = [context, context] if share else [context, context[::-1]]
    worst = 0.0
    with torch.no_grad():
        plain = [
            lm.causal_lm.base_model(
                input_ids=torch.tensor([begin + branch], device=lm.device), use_cache=False
            ).last_hidden_state[0]
            for begin, branch in zip(begins, branches, strict=True)
        ]
        for known in (0, 5) if share else (0,):
            row, places = _two_in_one(begins, branches, share, known)
            cache = compute_prefix(lm, context[:known], known + len(row.ids)) if known else None
            states = read(lm, row, cache)
            for place, branch, alone in zip(places, branches, plain, strict=True):
                worst = max(worst, _off(lm, states[place : place + len(branch)], alone[-len(branch) :]))
    return worst


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


def _padded_difference(lm: CausalLM, shared: int) -> float:
    """The difference between the logits of padded rows and those of plain rows, as a multiple of the tolerance."""
    drawn = torch.randint(0, _vocabulary(lm), (17,), generator=torch.Generator().manual_seed(1)).tolist()
    rows, next_tokens = [drawn[:9], [*drawn[:shared], *drawn[9:13]]], [drawn[13], drawn[14]]
    worst = 0.0
    with torch.no_grad():
        cache = compute_prefix(lm, drawn[:shared], shared) if shared else None
        batch = PaddedBatch(lm, rows, 10, shared, cache)
        for step in range(2):
            for index, row in enumerate(rows):
                ids = torch.tensor([row + next_tokens[index : index + 1] * step], device=lm.device)
                plain = lm.causal_lm(input_ids=ids, use_cache=False).logits[0, -1].float()
                worst = max(worst, _off(lm, batch.logits[index], plain))
            if not step:
                batch.go_on(next_tokens)
    return worst


def _off(lm: CausalLM, got: torch.Tensor, expected: torch.Tensor) -> float:
    """The median difference, as a multiple of the tolerance for the model's precision."""
    tolerance = 1e-3 if lm.causal_lm.dtype == torch.float32 else 0.1
    scale = (float(expected.abs().median()) + 1e-6) * tolerance
    return float((got - expected).abs().median()) / scale


def _vocabulary(lm: CausalLM) -> int:
    return int(lm.causal_lm.get_input_embeddings().weight.shape[0])
