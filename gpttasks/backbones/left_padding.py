"""Prompts of different lengths in one batch, padded on the left, so that all of them go on at the same place."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .tree_attention import cache_name

if TYPE_CHECKING:
    import torch

    from .local import LocalBackbone


class PaddedBatch:
    """Rows that are read once and then go on token by token, with the keys and values of what was read kept.

    ``logits`` [rows, vocabulary], float64 on the CPU, are those of the token after each row.
    """

    def __init__(self, backbone: LocalBackbone, rows: Sequence[Sequence[int]]) -> None:
        import torch

        self._model = backbone.causal_lm
        self._device = backbone.device
        self._cache_name = cache_name(self._model)
        self._positions_too = "position_ids" in inspect.signature(self._model.forward).parameters
        longest = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        self._mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, longest - len(row) :] = torch.as_tensor(list(row), dtype=torch.long)
            self._mask[index, longest - len(row) :] = 1
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache: Any = None
        self.logits = self._read(ids)

    def go_on(self, tokens: Sequence[int]) -> None:
        """Add one token to each row."""
        import torch

        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        self._positions = self._positions[:, -1:] + 1
        self.logits = self._read(torch.as_tensor(list(tokens), dtype=torch.long)[:, None])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        import torch

        chosen = torch.as_tensor(list(rows), dtype=torch.long)
        self._mask, self._positions, self.logits = self._mask[chosen], self._positions[chosen], self.logits[chosen]
        self._cache.batch_select_indices(chosen.to(self._device))

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {str(self._cache_name): self._cache, "use_cache": True, "logits_to_keep": 1}
        if self._positions_too:
            options["position_ids"] = self._positions.to(self._device)
        outputs = self._model(input_ids=ids.to(self._device), attention_mask=self._mask.to(self._device), **options)
        self._cache = outputs.get(str(self._cache_name))
        logits: torch.Tensor = outputs.logits[:, -1].double().cpu()
        return logits


def why_not_padded(backbone: LocalBackbone) -> str | None:
    """Why prompts of this model cannot be padded on the left; None if they can: it is tried on two rows."""
    if cache_name(backbone.causal_lm) is None:
        return "it keeps no keys and values"
    try:
        off = _difference(backbone)
    except Exception as error:  # whatever a model raises that does not take a mask and positions of this form
        return f"{type(error).__name__} for rows padded on the left"
    return None if off <= 1 else f"padded rows differ from plain ones by {off:.2g} times what is tolerated"


def _difference(backbone: LocalBackbone) -> float:
    """How far the logits of padded rows are from those of plain rows, as a multiple of the tolerance."""
    import torch

    size = backbone.causal_lm.get_input_embeddings().weight.shape[0]
    drawn = torch.randint(0, size, (17,), generator=torch.Generator().manual_seed(1)).tolist()
    rows, more = [drawn[:9], drawn[9:13]], [drawn[13], drawn[14]]
    tolerance = 1e-3 if backbone.causal_lm.dtype == torch.float32 else 0.1
    worst = 0.0
    with torch.no_grad():
        batch = PaddedBatch(backbone, rows)
        for step in range(2):
            for index, row in enumerate(rows):
                ids = torch.tensor([row + more[index : index + 1] * step], device=backbone.device)
                plain = backbone.causal_lm(input_ids=ids, use_cache=False).logits[0, -1].double().cpu()
                scale = float(plain.abs().median()) + 1e-6
                worst = max(worst, float((batch.logits[index] - plain).abs().median()) / (tolerance * scale))
            if not step:
                batch.go_on(more)
    return worst
