"""Rows of different lengths, concatenated without padding: each row attends to itself, and to a prefix common to all.

What a model computes token by token, it computes for the tokens of all rows together; only attention runs row by row.
All tokens attend to the prefix in one call, without a mask or a copy of it. Log-sum-exps combine the result with each
row's attention to itself (as in Hydragen, arXiv:2402.05099). This works on a CPU, where torch returns log-sum-exps for
masks of any kind; on other devices rows are padded.

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
"""The name under which this module's attention is registered with transformers."""
STOCK = "sdpa"
"""The name of the transformers attention that it replaces."""
UNSUPPORTED = ("s_aux", "softcap", "position_bias", "head_mask")
"""Arguments that some models pass to their attention and that this one does not support."""


@dataclass
class Layout:
    """The rows that a forward pass processes.

    rows: the length of each row, and its mask of numbers to add to the scores [tokens, tokens], None for plain causal
    attention; before: the cache of the common prefix; used: whether a layer has attended with this layout.
    """

    rows: Sequence[tuple[int, torch.Tensor | None]]
    before: Any = None
    used: bool = False


_layout: ContextVar[Layout | None] = ContextVar("_layout", default=None)


def forward_ragged(lm: CausalLM, rows: Sequence[MaskedRow], cache: Any = None) -> torch.Tensor:
    """The last hidden states [1, tokens of all rows, hidden], one row after another.

    cache: the keys and values of a common prefix of the rows; the cache is not changed.

    Raises RuntimeError for a model for which :func:`select_attention` was not called.
    """
    import numpy as np

    ids = torch.from_numpy(np.concatenate([np.asarray(row.ids, dtype=np.int64) for row in rows]))[None]
    positions = torch.from_numpy(np.concatenate([row.positions for row in rows]))[None].to(lm.device)
    dtype = lm.causal_lm.dtype
    layout = Layout([(len(row.ids), _score_mask(row, dtype)) for row in rows], cache)
    token = _layout.set(layout)
    try:
        outputs = lm.causal_lm.base_model(**lm.inputs(ids), position_ids=positions, use_cache=False)
    finally:
        _layout.reset(token)
    if not layout.used:  # then the rows have attended to each other
        raise RuntimeError(f"the model attends with {lm.causal_lm.config._attn_implementation!r}, expected {NAME!r}")
    states: torch.Tensor = outputs.last_hidden_state
    return states


def _score_mask(row: MaskedRow, dtype: torch.dtype) -> torch.Tensor | None:
    if row.sees is None:
        return None
    return torch.where(torch.from_numpy(row.sees), 0.0, torch.finfo(dtype).min).to(dtype)


def select_attention(model: Any) -> str | None:
    """Make a model with ``sdpa`` attention call :func:`attention` instead; return the reason if that is impossible."""
    if (current := model.config._attn_implementation) not in (STOCK, NAME):
        return f"its attention is {current!r}, and only {STOCK!r} can be called row by row"
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:
        return f"the attention of a model of type {model.config.model_type!r} cannot be replaced"
    return None


def restore_attention(model: Any) -> None:
    """Undo :func:`select_attention`."""
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
    """Attention with the signature of transformers: inputs [rows, heads, tokens, width], output [rows, tokens, heads,
    width]. Outside of :func:`forward_ragged`, transformers' own attention.

    Raises NotImplementedError, within :func:`forward_ragged`, for unsupported arguments such as attention sinks.
    """
    layout = _layout.get()
    if layout is None:
        stock: tuple[torch.Tensor, torch.Tensor | None] = ALL_ATTENTION_FUNCTIONS[STOCK](
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return stock
    layout.used = True
    unsupported = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if unsupported or kwargs.get("dropout"):
        raise NotImplementedError(f"attention with {', '.join(unsupported) or 'dropout'}")
    repeats = query.shape[1] // key.shape[1]
    in_rows, row_sums = _row_by_row(query, _repeated(key, repeats), _repeated(value, repeats), layout.rows, scaling)
    if layout.before is None:
        return in_rows, None
    prefix = layout.before.layers[module.layer_idx]
    to_prefix, prefix_sums = _attend(query, _repeated(prefix.keys, repeats), _repeated(prefix.values, repeats), scaling)
    row_weight = torch.sigmoid(row_sums - prefix_sums).transpose(1, 2)[..., None].to(in_rows.dtype)
    return torch.lerp(to_prefix.transpose(1, 2), in_rows, row_weight), None


def _row_by_row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: Sequence[tuple[int, torch.Tensor | None]],
    scaling: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's attention to itself [1, tokens, heads, width], and the log-sum-exps [1, heads, tokens]."""
    attended = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    sums = []
    start = 0
    for length, mask in rows:
        row = slice(start, start + length)
        start += length
        output, row_sums = _attend(query[:, :, row], key[:, :, row], value[:, :, row], scaling, mask, mask is None)
        attended[:, row] = output.transpose(1, 2)
        sums.append(row_sums)
    return attended, torch.cat(sums, dim=-1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    mask: torch.Tensor | None = None,
    causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """([1, heads, tokens, width], [1, heads, tokens]): the attention, and the log-sum-exps of the scores."""
    attended: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, is_causal=causal, attn_mask=mask, scale=scaling
    )
    return attended


def _repeated(states: torch.Tensor, times: int) -> torch.Tensor:
    """Keys or values [1, heads, tokens, width], with every head repeated ``times`` times."""
    return states if times == 1 else states.repeat_interleave(times, dim=1)


def mask_for_attention(*arguments: Any, **options: Any) -> torch.Tensor | None:
    """The mask that transformers makes for its own attention; None within :func:`forward_ragged`, which has its own."""
    if _layout.get() is not None:
        return None
    mask: torch.Tensor | None = ALL_MASK_ATTENTION_FUNCTIONS[STOCK](*arguments, **options)
    return mask


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, mask_for_attention)
