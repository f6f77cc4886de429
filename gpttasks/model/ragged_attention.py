"""Rows of any lengths one after another in a single row, without padding: each attends to itself, and to a text that
comes before all of them.

Whatever a model computes token by token it computes for the tokens of all rows at once; attention alone goes row by
row. All tokens attend together to the text before them, without a mask and without a copy, and the log-sum-exps combine
that with what a row attends to in itself (as in Hydragen, arXiv:2402.05099). This works on a CPU, where torch gives the
log-sum-exps for masks of any kind; elsewhere rows are padded.

The attention function is registered with transformers and selected once, when a model is loaded. It calls transformers'
own attention except within :func:`forward_ragged`, which sets a context variable and changes nothing in the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from .causal_lm import CausalLM
    from .tree_attention import MaskedRow

NAME = "gpttasks"
"""The attention of this module, as transformers knows it."""
STOCK = "sdpa"
"""The attention of transformers that it replaces."""
UNKNOWN = ("s_aux", "softcap", "position_bias", "head_mask")
"""What some models ask of their attention beside the usual."""


@dataclass
class Layout:
    """The rows that are being read in one.

    rows: the length of each, and what its scores get added [tokens, tokens], None for plain causal attention;
    before: the cache of the text before all of them; used: whether a layer has attended by it.
    """

    rows: Sequence[tuple[int, torch.Tensor | None]]
    before: Any = None
    used: bool = False


_layout: ContextVar[Layout | None] = ContextVar("_layout", default=None)


def forward_ragged(lm: CausalLM, rows: Sequence[MaskedRow], cache: Any = None) -> torch.Tensor:
    """The last hidden states [1, tokens of all rows, hidden] of rows, one row after another.

    cache: the keys and values of a text that comes before each of the rows; they are only read.

    Raises RuntimeError for a model for which :func:`select_attention` was not called.
    """
    import numpy as np

    ids = torch.from_numpy(np.concatenate([np.asarray(row.ids, dtype=np.int64) for row in rows]))[None]
    positions = torch.from_numpy(np.concatenate([row.positions for row in rows]))[None].to(lm.device)
    dtype = lm.causal_lm.dtype
    layout = Layout([(len(row.ids), _added(row, dtype)) for row in rows], cache)
    token = _layout.set(layout)
    try:
        outputs = lm.causal_lm.base_model(**lm.inputs(ids), position_ids=positions, use_cache=False)
    finally:
        _layout.reset(token)
    if not layout.used:  # the rows have attended to each other
        raise RuntimeError(f"the model attends with {lm.causal_lm.config._attn_implementation!r}, expected {NAME!r}")
    states: torch.Tensor = outputs.last_hidden_state
    return states


def _added(row: MaskedRow, dtype: torch.dtype) -> torch.Tensor | None:
    if row.sees is None:
        return None
    return torch.where(torch.from_numpy(row.sees), 0.0, torch.finfo(dtype).min).to(dtype)


def select_attention(model: Any) -> str | None:
    """Have a model that attends with ``sdpa`` call :func:`attention` instead; gives the reason if it cannot."""
    if (chosen := model.config._attn_implementation) not in (STOCK, NAME):
        return f"its attention is {chosen!r}, and only {STOCK!r} can be called row by row"
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:
        return f"a model of type {model.config.model_type!r} does not let its attention be chosen"
    return None


def restore_attention(model: Any) -> None:
    """Have a model attend as it did before :func:`select_attention`."""
    model.set_attn_implementation(STOCK)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention as the models of transformers call it: [rows, heads, tokens, width] each; gives [rows, tokens, heads,
    width]. Outside of :func:`forward_ragged` it is transformers' own.

    Raises NotImplementedError within it for what it does not know, such as attention sinks.
    """
    layout = _layout.get()
    if layout is None:
        stock: tuple[torch.Tensor, torch.Tensor | None] = ALL_ATTENTION_FUNCTIONS[STOCK](
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return stock
    layout.used = True
    unknown = [name for name in UNKNOWN if kwargs.get(name) is not None]
    if unknown or kwargs.get("dropout"):
        raise NotImplementedError(f"attention with {', '.join(unknown) or 'dropout'}")
    repeats = query.shape[1] // key.shape[1]
    own, own_weight = _row_by_row(query, _repeated(key, repeats), _repeated(value, repeats), layout.rows, scaling)
    if layout.before is None:
        return own, None
    held = layout.before.layers[module.layer_idx]
    all_rows, weight = _attend(query, _repeated(held.keys, repeats), _repeated(held.values, repeats), scaling)
    share = torch.sigmoid(own_weight - weight).transpose(1, 2)[..., None].to(own.dtype)
    return torch.lerp(all_rows.transpose(1, 2), own, share), None


def _row_by_row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: Sequence[tuple[int, torch.Tensor | None]],
    scaling: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's attention to itself [1, tokens, heads, width], and its log-sum-exp [1, heads, tokens]."""
    attended = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    weights = []
    start = 0
    for length, added in rows:
        some = slice(start, start + length)
        start += length
        found, weight = _attend(query[:, :, some], key[:, :, some], value[:, :, some], scaling, added, added is None)
        attended[:, some] = found.transpose(1, 2)
        weights.append(weight)
    return attended, torch.cat(weights, dim=-1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    added: torch.Tensor | None = None,
    causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """([1, heads, tokens, width], [1, heads, tokens]): attention, and the log-sum-exp of the scores."""
    found: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, is_causal=causal, attn_mask=added, scale=scaling
    )
    return found


def _repeated(held: torch.Tensor, times: int) -> torch.Tensor:
    """Keys or values [1, heads, tokens, width], each head repeated ``times`` times, for grouped queries."""
    return held if times == 1 else held.repeat_interleave(times, dim=1)


def mask_for_attention(*arguments: Any, **options: Any) -> torch.Tensor | None:
    """The mask that transformers makes for its own attention; none within :func:`forward_ragged`, whose rows have
    theirs.
    """
    if _layout.get() is not None:
        return None
    mask: torch.Tensor | None = ALL_MASK_ATTENTION_FUNCTIONS[STOCK](*arguments, **options)
    return mask


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, mask_for_attention)
