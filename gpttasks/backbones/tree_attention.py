"""Several continuations of one text in a single row: each token sees its own past and nothing beside it.

The row's mask says what each token sees, and its positions are those it would have in a row of its own. Whether a model
heeds both is found out on a small tree; a model that does not is asked one row at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from .local import LocalBackbone

INDEX_BOUND = frozenset({"gpt_neo"})
"""Models whose local attention goes by the place in the row, whatever the positions say."""


def cache_name(model: Any) -> str | None:
    """What the model's forward pass calls its keys and values; None if it keeps none (GPT-1)."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in parameters), None)


def compute_prefix(backbone: LocalBackbone, ids: Sequence[int]) -> Any:
    """The keys and values of a text that several rows begin with."""
    import torch

    model = backbone.causal_lm.base_model
    name = cache_name(model)
    assert name is not None
    row = torch.as_tensor(list(ids), dtype=torch.long, device=backbone.device)[None]
    return model(input_ids=row, use_cache=True).get(name)


def forward_tree(
    backbone: LocalBackbone, ids: Sequence[int], positions: np.ndarray, sees: np.ndarray, cache: Any = None
) -> torch.Tensor:
    """The last hidden states [tokens, hidden] of a row, after the text whose keys and values ``cache`` holds.

    positions: [tokens]; sees: bool [tokens, cached + tokens]. The cache is as it was when this returns.
    """
    import torch

    model = backbone.causal_lm.base_model
    device, dtype = backbone.device, backbone.causal_lm.dtype
    # Numbers, not truth values: with eager attention a mask of truth values is added as 0 and 1.
    mask = torch.where(torch.from_numpy(sees).to(device), 0.0, torch.finfo(dtype).min).to(dtype)[None, None]
    options: dict[str, Any] = {"use_cache": False}
    if cache is not None:
        options = {"use_cache": True, str(cache_name(model)): cache}
    outputs = model(
        input_ids=torch.as_tensor(list(ids), dtype=torch.long, device=device)[None],
        position_ids=torch.from_numpy(positions).to(device)[None],
        attention_mask=mask,
        **options,
    )
    if cache is not None:
        cache.crop(-len(ids))
    states: torch.Tensor = outputs.last_hidden_state[0]
    return states


def why_not_shared(backbone: LocalBackbone) -> str | None:
    """Why this model cannot read trees; None if it can: it is tried on one, with and without a prefix."""
    config = backbone.causal_lm.config
    if config.model_type in INDEX_BOUND:
        return f"{config.model_type} attends by the place in the row"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "it has a sliding window"
    if not backbone.direct_head:
        return "its logits are no linear function of its last hidden states"
    if cache_name(backbone.causal_lm.base_model) is None:
        return "it keeps no keys and values"
    try:
        off = _difference(backbone)
    except Exception as error:  # whatever a model raises that does not take a mask of this form
        return f"{type(error).__name__} for a mask of its own"
    return None if off <= 1 else f"a small tree differs from plain rows by {off:.2g} times what is tolerated"


def _difference(backbone: LocalBackbone) -> float:
    """How far a tree's states are from those of plain rows, as a multiple of the tolerance."""
    import numpy as np
    import torch

    size = backbone.causal_lm.get_input_embeddings().weight.shape[0]
    random = np.random.default_rng(0)
    context, *branches = (random.integers(0, size, length).tolist() for length in (9, 4, 3))
    tolerance = 1e-3 if backbone.causal_lm.dtype == torch.float32 else 0.1
    worst = 0.0
    with torch.no_grad():
        plain = [
            backbone.causal_lm.base_model(
                input_ids=torch.tensor([context + branch], device=backbone.device), use_cache=False
            ).last_hidden_state[0]
            for branch in branches
        ]
        for shared in (0, 5):
            fed = context[shared:]
            ids = [*fed, *branches[0], *branches[1]]
            owner = np.array([-1] * len(fed) + [0] * len(branches[0]) + [1] * len(branches[1]))
            steps = [*range(len(fed)), *(len(fed) + i for branch in branches for i in range(len(branch)))]
            earlier = np.tril(np.ones((len(ids), len(ids)), dtype=bool))
            sees = earlier & ((owner[None] == -1) | (owner[None] == owner[:, None]))
            sees = np.concatenate([np.ones((len(ids), shared), dtype=bool), sees], axis=1)
            cache = compute_prefix(backbone, context[:shared]) if shared else None
            states = forward_tree(backbone, ids, np.array(steps) + shared, sees, cache)
            for number, branch in enumerate(branches):
                first = len(fed) + sum(len(other) for other in branches[:number])
                tree, row = states[first : first + len(branch)], plain[number][-len(branch) :]
                scale = float(row.abs().median()) + 1e-6
                worst = max(worst, float((tree - row).abs().median()) / (tolerance * scale))
    return worst
