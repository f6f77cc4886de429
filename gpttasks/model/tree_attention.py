"""Several continuations of one text in a single row: each token sees its own past and nothing beside it.

The row's mask says what each token sees, and its positions are those it would have in a row of its own. Whether a model
heeds both is found out on small rows; a model that does not is asked one row at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .media import model_inputs

if TYPE_CHECKING:
    import numpy as np
    import torch

    from .causal_lm import CausalLM

INDEX_BOUND = frozenset({"gpt_neo"})
"""Models whose local attention goes by the place in the row, whatever the positions say."""
LAYER_KINDS = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layer whose masks are known."""
LONGEST_TRIED = 256
"""A sliding window up to this size is tried with a text that is longer."""
TRIED, BRANCH = 9, 4
"""Tokens of the text that is tried, and of the longer of its two continuations."""


@dataclass(frozen=True)
class MaskedRow:
    """A row that says what its tokens see.

    ids: of the tokens; positions: [tokens]; sees: bool [tokens, tokens], None if each sees all before it. What comes
    before the row is seen by all of them.
    """

    ids: Sequence[int]
    positions: np.ndarray
    sees: np.ndarray | None


def cache_name(model: Any) -> str | None:
    """What the model's forward pass calls its keys and values; None if it keeps none (GPT-1)."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in parameters), None)


def sliding_window(config: Any) -> int | None:
    """How many tokens a layer with a sliding window sees, itself included; None if no layer has one."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    used = getattr(config, "use_sliding_window", True) if kinds is None else "sliding_attention" in kinds
    return int(window) if window and used else None


def compute_prefix(backbone: CausalLM, ids: Sequence[int], room: int) -> Any:
    """The keys and values of a text that several rows begin with, with room for ``room`` tokens in all."""
    import torch

    from .key_values import KeyValues

    model = backbone.causal_lm.base_model
    name = cache_name(model)
    assert name is not None
    cache = KeyValues(room)
    row = torch.as_tensor(list(ids), dtype=torch.long)[None]
    model(**model_inputs(backbone, row), use_cache=True, **{name: cache})
    return cache


def forward_rows(backbone: CausalLM, rows: Sequence[MaskedRow], cache: Any = None) -> torch.Tensor:
    """The last hidden states [rows, tokens, hidden] of rows, padded on the right.

    cache:
        the keys and values of a text that comes before a single row; it is as it was when this returns.
    """
    import numpy as np
    import torch

    model = backbone.causal_lm.base_model
    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
    options: dict[str, Any] = {"use_cache": False}
    if cache is not None or any(row.sees is not None for row in rows):
        options |= _places(backbone, rows, longest, 0 if cache is None else cache.get_seq_length())
    # else plain causal attention: padding on the right is never seen
    if cache is not None:
        options |= {"use_cache": True, str(cache_name(model)): cache}
    states: torch.Tensor = model(**model_inputs(backbone, torch.from_numpy(ids)), **options).last_hidden_state
    if cache is not None:
        cache.crop(-longest)
    return states


def _places(backbone: CausalLM, rows: Sequence[MaskedRow], longest: int, before: int) -> dict[str, Any]:
    """The positions and masks of rows, as the model takes them."""
    import numpy as np
    import torch

    positions = np.zeros((len(rows), longest), dtype=np.int64)
    sees = np.zeros((len(rows), longest, before + longest), dtype=bool)
    for index, row in enumerate(rows):
        length = len(row.ids)
        positions[index, :length] = row.positions
        sees[index, :length, :before] = True
        sees[index, :length, before : before + length] = np.tri(length, dtype=bool) if row.sees is None else row.sees
    masks = _masks(backbone, sees, positions, before)
    return {"position_ids": torch.from_numpy(positions).to(backbone.device), "attention_mask": masks}


def _masks(backbone: CausalLM, sees: np.ndarray, positions: np.ndarray, before: int) -> Any:
    """What the layers add to their attention: one mask, or one for each kind of layer."""
    import numpy as np
    import torch

    dtype = backbone.causal_lm.dtype

    def added(seen: np.ndarray) -> torch.Tensor:
        # Numbers, not truth values: with eager attention a mask of truth values is added as 0 and 1.
        mask = torch.from_numpy(seen).to(backbone.device)
        return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]

    config = backbone.causal_lm.config
    window = sliding_window(config)
    if window is None:
        return added(sees)
    earlier = np.broadcast_to(np.arange(before), (len(positions), before))
    keys = np.concatenate([earlier, positions], axis=1)
    near = sees & (positions[:, :, None] - keys[:, None] < window)
    kinds = set(getattr(config, "layer_types", None) or ())
    if "full_attention" not in kinds:
        return added(near)
    return {"full_attention": added(sees), "sliding_attention": added(near)}


def why_not_packed(backbone: CausalLM) -> str | None:
    """Why two texts cannot be read in one row of this model; None if they can: it is tried on two."""
    return _why_not(backbone, share=False)


def why_not_ragged(backbone: CausalLM) -> str | None:
    """Why trees cannot be read one after another without padding; None if they can: it is tried on one."""
    if backbone.unshared is not None:
        return backbone.unshared
    if backbone.device.type != "cpu":
        return f"attention on {backbone.device.type} gives no log-sum-exp for masks"
    if "position_ids" not in inspect.signature(backbone.causal_lm.base_model.forward).parameters:
        return "it takes no positions"
    window = sliding_window(backbone.causal_lm.config) or LONGEST_TRIED
    if window < 2 * BRANCH:
        return f"its window of {window} tokens is too short"
    return _tried(backbone, True, _after_another, min(TRIED, window - BRANCH))


def why_not_shared(backbone: CausalLM) -> str | None:
    """Why this model cannot read trees; None if it can: it is tried on one, with and without a prefix."""
    if cache_name(backbone.causal_lm.base_model) is None:
        return "it keeps no keys and values"
    if not backbone.direct_head:
        return "its logits are no linear function of its last hidden states"
    return _why_not(backbone, share=True)


def _why_not(backbone: CausalLM, share: bool) -> str | None:
    config = backbone.causal_lm.config
    if config.model_type in INDEX_BOUND:
        return f"{config.model_type} attends by the place in the row"
    strange = sorted(set(getattr(config, "layer_types", None) or ()) - LAYER_KINDS)
    if strange:
        return f"it has layers of the kind {', '.join(strange)}"
    window = sliding_window(config) or 0
    return _tried(backbone, share, _alone, TRIED if window > LONGEST_TRIED else window + TRIED)


def _alone(backbone: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    return forward_rows(backbone, [row], cache)[0]


def _after_another(backbone: CausalLM, row: MaskedRow, cache: Any) -> torch.Tensor:
    import numpy as np

    from .ragged_attention import forward_ragged

    other = MaskedRow(row.ids[:3], np.arange(3), None)
    return forward_ragged(backbone, [other, row], cache)[0, len(other.ids) :]


Read = Callable[["CausalLM", MaskedRow, Any], "torch.Tensor"]


def _tried(backbone: CausalLM, share: bool, read: Read, length: int) -> str | None:
    try:
        off = _difference(backbone, share, read, length)
    except Exception as error:  # whatever a model raises that does not take a mask of this form
        return f"{type(error).__name__} for a mask of its own"
    return None if off <= 1 else f"small rows of this kind differ from plain ones by {off:.2g} times what is tolerated"


def _difference(backbone: CausalLM, share: bool, read: Read, length: int) -> float:
    """How far the states of two texts in one row are from those of plain rows, as a multiple of the tolerance.

    share: the texts begin alike, and their beginning is read once; read: gives the states of the row; length: of the
    beginning, in tokens.
    """
    import numpy as np
    import torch

    size = backbone.causal_lm.get_input_embeddings().weight.shape[0]
    random = np.random.default_rng(0)
    length = min(length, backbone.context - BRANCH)
    context, *branches = (random.integers(0, size, some).tolist() for some in (length, BRANCH, 3))
    begins = [context, context] if share else [context, context[::-1]]
    worst = 0.0
    with torch.no_grad():
        plain = [
            backbone.causal_lm.base_model(
                input_ids=torch.tensor([begin + branch], device=backbone.device), use_cache=False
            ).last_hidden_state[0]
            for begin, branch in zip(begins, branches, strict=True)
        ]
        for known in (0, 5) if share else (0,):
            row, places = _two_in_one(begins, branches, share, known)
            cache = compute_prefix(backbone, context[:known], known + len(row.ids)) if known else None
            states = read(backbone, row, cache)
            for place, branch, alone in zip(places, branches, plain, strict=True):
                found, wanted = states[place : place + len(branch)], alone[-len(branch) :]
                scale = (float(wanted.abs().median()) + 1e-6) * tolerance(backbone)
                worst = max(worst, float((found - wanted).abs().median()) / scale)
    return worst


def _two_in_one(
    begins: Sequence[list[int]], branches: Sequence[list[int]], share: bool, known: int
) -> tuple[MaskedRow, list[int]]:
    """A row of two texts, after ``known`` tokens of their common beginning, and where their branches are."""
    import numpy as np

    ids: list[int] = []
    positions: list[int] = []
    owner: list[int] = []  # -1: both texts'
    places = []
    for number, (begin, branch) in enumerate(zip(begins, branches, strict=True)):
        if not share or not number:
            ids += begin[known:]
            positions += range(known, len(begin))
            owner += [-1 if share else number] * (len(begin) - known)
        places.append(len(ids))
        ids += branch
        positions += range(len(begin), len(begin) + len(branch))
        owner += [number] * len(branch)
    whose = np.array(owner)
    sees = np.tril((whose[None] == -1) | (whose[None] == whose[:, None]))
    return MaskedRow(ids, np.array(positions), sees), places


def tolerance(backbone: CausalLM) -> float:
    """How far apart two ways to the same numbers may be in the backbone's precision, relative to their size."""
    import torch

    return 1e-3 if backbone.causal_lm.dtype == torch.float32 else 0.1
