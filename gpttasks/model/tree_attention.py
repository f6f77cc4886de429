"""Several continuations of one text in a single row: each token sees the tokens before it in its own text, no others.

The row's mask says what each token sees. A token's position is the one that it would have in a separate row. Whether a
model follows mask and positions is tested on small rows when it is loaded; if it does not, continuations are processed
in separate rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from .causal_lm import CausalLM

LAYER_KINDS = frozenset({"full_attention", "sliding_attention"})
"""The types of layer whose masks are known."""


@dataclass(frozen=True)
class MaskedRow:
    """A row of token ids that says which tokens see which.

    positions: [tokens]; sees: bool [tokens, tokens], None if each token sees all before it. A prefix in a cache is seen
    by all tokens.
    """

    ids: Sequence[int]
    positions: np.ndarray
    sees: np.ndarray | None


def compute_prefix(lm: CausalLM, ids: Sequence[int], room: int) -> Any:
    """The keys and values of a common prefix of several rows, in a cache with room for ``room`` tokens in all."""
    import torch

    from .key_values import KeyValues

    assert lm.supports.cache_name is not None
    cache = KeyValues(room)
    row = torch.as_tensor(list(ids), dtype=torch.long)[None]
    lm.causal_lm.base_model(**lm.inputs(row), use_cache=True, **{lm.supports.cache_name: cache})
    return cache


def forward_rows(lm: CausalLM, rows: Sequence[MaskedRow], cache: Any = None) -> torch.Tensor:
    """The last hidden states [rows, tokens, hidden] of rows, padded on the right.

    cache:
        the keys and values of a prefix; there must be a single row. When this returns, the cache is unchanged.
    """
    import numpy as np
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
    options: dict[str, Any] = {"use_cache": False}
    if cache is not None or any(row.sees is not None for row in rows):
        options |= _positions_and_masks(lm, rows, longest, 0 if cache is None else cache.get_seq_length())
    # else plain causal attention: no real token sees the padding on the right
    if cache is not None:
        options |= {"use_cache": True, str(lm.supports.cache_name): cache}
    outputs = lm.causal_lm.base_model(**lm.inputs(torch.from_numpy(ids)), **options)
    states: torch.Tensor = outputs.last_hidden_state
    if cache is not None:
        cache.crop(-longest)
    return states


def _positions_and_masks(lm: CausalLM, rows: Sequence[MaskedRow], longest: int, before: int) -> dict[str, Any]:
    """The model's arguments for the positions and masks of rows, after ``before`` tokens in the cache."""
    import numpy as np
    import torch

    positions = np.zeros((len(rows), longest), dtype=np.int64)
    sees = np.zeros((len(rows), longest, before + longest), dtype=bool)
    for index, row in enumerate(rows):
        length = len(row.ids)
        positions[index, :length] = row.positions
        sees[index, :length, :before] = True
        sees[index, :length, before : before + length] = np.tri(length, dtype=bool) if row.sees is None else row.sees
    masks = attention_masks(lm, sees, positions, before)
    return {"position_ids": torch.from_numpy(positions).to(lm.device), "attention_mask": masks}


def attention_masks(lm: CausalLM, sees: np.ndarray, positions: np.ndarray, before: int = 0) -> Any:
    """The numbers that the layers add to their attention scores: one mask, or one for each type of layer.

    sees: bool [rows, tokens, before + tokens]; positions: [rows, tokens]; before: the number of tokens in the cache.
    """
    import numpy as np
    import torch

    dtype = lm.causal_lm.dtype

    def added(seen: np.ndarray) -> torch.Tensor:
        # Numbers and not booleans: eager attention would add True and False as 1 and 0.
        mask = torch.from_numpy(seen).to(lm.device)
        return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]

    config = lm.causal_lm.config.get_text_config()
    window = lm.supports.sliding_window
    if window is None:
        return added(sees)
    earlier = np.broadcast_to(np.arange(before), (len(positions), before))
    keys = np.concatenate([earlier, positions], axis=1)
    near = sees & (positions[:, :, None] - keys[:, None] < window)
    kinds = set(getattr(config, "layer_types", None) or ())
    if "full_attention" not in kinds:
        return added(near)
    return {"full_attention": added(sees), "sliding_attention": added(near)}
