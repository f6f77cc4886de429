"""``classifier``: a trained linear layer on the state at the prompt's last token, GPT-1's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..answer import Answer
from ..example import Example
from ..item import Item
from ..requests import Reply, near_tie
from .choice import right_choice, softmax
from .linear import ChoicesHead, LinearOptions, added

if TYPE_CHECKING:
    import torch


class ClassifierOptions(LinearOptions):
    """How the layer is trained, and what it reads."""


class Classifier(ChoicesHead):
    """A linear layer with one output per choice, trained with cross-entropy: one choice is right."""

    name = "classifier"
    Options = ClassifierOptions
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"

    def check_to_train(self, example: Example) -> None:
        """Raises DataError if the right choice is not known."""
        right_choice(example)

    def labelled(self, item: Item, example: Example) -> Item:
        """The item with the index of the right choice."""
        return replace(item, label=right_choice(example))

    def layer_loss(self, logits: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Cross-entropy of the labels."""
        import torch

        labels = torch.tensor([item.label for item in items], device=logits.device)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The index of the highest output, with the softmax of all."""
        values = added(replies)
        best, tie = self.best_choice(example, values)
        detail = {"logits": list(values), "near_tie": near_tie(values), "tie": tie}
        return Answer(best, example.choices[best], softmax(values), detail)
