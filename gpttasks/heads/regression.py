"""``regression``: a trained linear layer that gives one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..answer import Answer
from ..errors import DataError
from ..example import Example
from ..item import Item
from ..requests import Reply
from .linear import LinearHead, added

if TYPE_CHECKING:
    import torch


class Regression(LinearHead):
    """A linear layer with one output, trained with the squared error; the right number is the example's ``value``."""

    name = "regression"
    needs = frozenset({"prompt"})
    trains_on = frozenset({"prompt", "value"})
    gives = "number"

    def outputs(self, example: Example) -> int:
        """One."""
        return 1

    def check_to_train(self, example: Example) -> None:
        """Raises DataError if the right number is not known."""
        _right_number(example)

    def labelled(self, item: Item, example: Example) -> Item:
        """The item with the right number."""
        return replace(item, label=_right_number(example))

    def layer_loss(self, logits: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """The squared errors."""
        import torch

        labels = torch.tensor([item.label for item in items], dtype=torch.float32, device=logits.device)
        return torch.nn.functional.mse_loss(logits.squeeze(1), labels, reduction="sum")

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The output."""
        (value,) = added(replies)
        return Answer(value, f"{value:g}")


def _right_number(example: Example) -> float:
    if example.value is None:
        raise DataError(f"example {example.id} has no value: the right number is not known")
    return example.value
