"""What heads that train on text have in common: the predicted tokens of their items' rows are the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..item import Item, target_starts
from ..tokens.rows import TokenRow
from .base import Head

if TYPE_CHECKING:
    import torch

    from ..model.states import Forward


class TextHead(Head):
    """A head that is trained with the cross-entropy of text; the loss has the head's name.

    A subclass gives ``items``, most simply ``yield self.item(self.rows(request))`` with the request about the right
    answer, so that it is trained on what it asks about.
    """

    def item(self, rows: Sequence[TokenRow], label: int | float | None = None) -> Item:
        """An item of rows whose predicted tokens are the targets."""
        return Item(tuple(rows), {self.name: sum(row.predicted for row in rows)}, label)

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """The sum of the cross-entropies of all predicted tokens, in nats."""
        return {self.name: outputs.targets(target_starts(items)).nll()}
