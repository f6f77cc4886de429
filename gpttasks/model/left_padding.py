"""Prompts of different lengths in one batch, padded on the left, so that all of them continue at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .causal_lm import CausalLM


class PaddedBatch:
    """Rows that are processed once and then continued token by token; the keys and values of all tokens are kept.

    room:
        the maximum number of tokens in a row, padding included.
    shared:
        the number of ids at the beginning of all rows that are already in ``cache``, which has one row.
    at_once:
        about how many prompt tokens are processed together; adjacent rows of similar length need the least padding.
    logits:
        [rows, vocabulary]: the logits of the token after each row.
    """

    def __init__(
        self,
        lm: CausalLM,
        rows: Sequence[Sequence[int]],
        room: int,
        shared: int = 0,
        cache: Any = None,
        at_once: int = 1024,
    ) -> None:
        import torch

        from .key_values import KeyValues

        self._lm = lm
        self._model = lm.causal_lm
        self._device = lm.device
        self._cache_name = str(lm.supports.cache_name)
        longest = max(len(row) for row in rows) - shared
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        real = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, row in enumerate(rows):
            rest = row[shared:]
            ids[index, longest - len(rest) :] = torch.as_tensor(list(rest), dtype=torch.long)
            real[index, longest - len(rest) :] = 1
        self._mask = torch.cat([real.new_ones(len(rows), shared), real], dim=-1)
        self._positions = (shared + real.cumsum(-1) - 1).clamp(min=0)
        self._cache = cache.copied(len(rows), room) if shared else KeyValues(room, len(rows))
        logits = []
        size = max(1, at_once // longest)
        for first in range(0, len(rows), size):
            part = slice(first, first + size)
            # Padding common to all rows of a part is skipped, except in the first part, which sets the cache's sizes.
            gap = longest - int(real[part].sum(-1).max()) if first else 0
            self._cache.use_rows(part, shared, gap)
            logits.append(self._read(ids[part, gap:], part, self._positions[part, gap:]))
        self._cache.use_rows(slice(None), shared + longest)
        self.logits = torch.cat(logits)

    def go_on(self, tokens: Sequence[int]) -> None:
        """Add one token to each row."""
        import torch

        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        self._positions = self._positions[:, -1:] + 1
        self.logits = self._read(torch.as_tensor(list(tokens), dtype=torch.long)[:, None], slice(None), self._positions)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""
        import torch

        chosen = torch.as_tensor(list(rows), dtype=torch.long)
        self._mask, self._positions = self._mask[chosen], self._positions[chosen]
        self.logits = self.logits[chosen.to(self._device)]
        self._cache.keep(chosen.to(self._device))

    def _read(self, ids: torch.Tensor, rows: slice, positions: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {self._cache_name: self._cache, "use_cache": True, "logits_to_keep": 1}
        if self._lm.supports.positions:
            options["position_ids"] = positions.to(self._device)
        mask = self._mask[rows].to(self._device)
        outputs = self._model(**self._lm.inputs(ids), attention_mask=mask, **options)
        logits: torch.Tensor = outputs.logits[:, -1].float()
        return logits


def prefix_fits(lm: CausalLM) -> bool:
    """Whether the common prefix of all rows may be processed once. The padding then comes after the prefix, and a
    sliding window, which counts places and not positions, would count padding as text.
    """
    return lm.supports.sharing.able and lm.supports.sliding_window is None
