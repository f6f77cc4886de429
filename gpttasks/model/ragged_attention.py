"""Rows of any lengths one after another in a single row, none padded: each attends to itself, and to a text before all.

All that a model does token by token is done for the tokens of all rows at once; attention alone goes row by row. What
all rows begin with is attended to by all tokens together, without a mask and without a copy, and is put together with
what a row attends to in itself by their log-sum-exps (as in Hydragen, arXiv:2402.05099). On a CPU, whose attention of
torch gives the log-sum-exps for masks of any kind; elsewhere rows are padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface

from .media import model_inputs

if TYPE_CHECKING:
    from .causal_lm import CausalLM
    from .tree_attention import MaskedRow

NAME = "gpttasks_ragged"
UNKNOWN = ("s_aux", "softcap", "position_bias", "head_mask")
"""What some models ask of their attention beside the usual."""


@dataclass(frozen=True)
class Layout:
    """The rows of the row that is being read.

    rows: the length of each, and what its scores get added [tokens, tokens], None for plain causal attention;
    before: the cache of the text before all of them.
    """

    rows: Sequence[tuple[int, torch.Tensor | None]]
    before: Any = None


_layout: ContextVar[Layout] = ContextVar("_layout")


def forward_ragged(backbone: CausalLM, rows: Sequence[MaskedRow], cache: Any = None) -> torch.Tensor:
    """The last hidden states [1, tokens of all rows, hidden] of rows, one row after another.

    cache: the keys and values of a text that comes before each of the rows; they are only read.
    """
    import numpy as np

    ids = torch.from_numpy(np.concatenate([np.asarray(row.ids, dtype=np.int64) for row in rows]))[None]
    positions = torch.from_numpy(np.concatenate([row.positions for row in rows]))[None].to(backbone.device)
    dtype = backbone.causal_lm.dtype
    layout = Layout([(len(row.ids), _added(row, dtype)) for row in rows], cache)
    with _attending(backbone.causal_lm.config, layout):
        outputs = backbone.causal_lm.base_model(**model_inputs(backbone, ids), position_ids=positions, use_cache=False)
    states: torch.Tensor = outputs.last_hidden_state
    return states


def _added(row: MaskedRow, dtype: torch.dtype) -> torch.Tensor | None:
    if row.sees is None:
        return None
    return torch.where(torch.from_numpy(row.sees), 0.0, torch.finfo(dtype).min).to(dtype)


@contextmanager
def _attending(config: Any, layout: Layout) -> Iterator[None]:
    """The model attends row by row; afterwards, and after an error, as it did before."""
    before = config._attn_implementation
    token = _layout.set(layout)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _layout.reset(token)


def ragged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as the models of transformers call it: [1, heads, tokens, width] each; gives [1, tokens, heads, width].

    Raises NotImplementedError for what it does not know, such as attention sinks.
    """
    unknown = [name for name in UNKNOWN if kwargs.get(name) is not None]
    if unknown or kwargs.get("dropout"):
        raise NotImplementedError(f"attention with {', '.join(unknown) or 'dropout'}")
    layout = _layout.get()
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
    """Keys or values [1, heads, tokens, width] for so many times as many heads of queries."""
    return held if times == 1 else held.repeat_interleave(times, dim=1)


AttentionInterface.register(NAME, ragged_attention)
