"""Prompts of different lengths in one batch, padded on the left, so that all of them go on at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .causal_lm import CausalLM


class PaddedBatch:
    """Rows that are read once and then continued token by token; their keys and values are kept.

    room:
        the largest number of tokens that a row will have, padding included.
    shared:
        the number of ids at the beginning of all rows that have been read into ``cache`` (of one row).
    at_once:
        about how many tokens of the prompts are read together; rows sorted by length need the least padding.
    logits:
        [rows, vocabulary], those of the token after each row.
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
        own = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, row in enumerate(rows):
            rest = row[shared:]
            ids[index, longest - len(rest) :] = torch.as_tensor(list(rest), dtype=torch.long)
            own[index, longest - len(rest) :] = 1
        self._mask = torch.cat([own.new_ones(len(rows), shared), own], dim=-1)
        self._positions = (shared + own.cumsum(-1) - 1).clamp(min=0)
        self._cache = cache.copied(len(rows), room) if shared else KeyValues(room, len(rows))
        logits = []
        size = max(1, at_once // longest)
        for first in range(0, len(rows), size):
            some = slice(first, first + size)
            # The padding that all of them have is not read; the cache learns its sizes from the first of them.
            gap = longest - int(own[some].sum(-1).max()) if first else 0
            self._cache.use_rows(some, shared, gap)
            logits.append(self._read(ids[some, gap:], some, self._positions[some, gap:]))
        self._cache.use_rows(slice(None), shared + longest)
        self.logits = torch.cat(logits)

    def go_on(self, tokens: Sequence[int]) -> None:
        """Add one token to each row."""
        import torch

        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        self._positions = self._positions[:, -1:] + 1
        self.logits = self._read(torch.as_tensor(list(tokens), dtype=torch.long)[:, None], slice(None), self._positions)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
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
    """Whether the common beginning of all rows may be read once. The padding then comes after it, and a sliding window
    that counts places instead of positions would take the padding for text.
    """
    return lm.supports.sharing.able and lm.supports.sliding_window is None
