"""``multilabel``: a trained linear layer that says of each label by itself whether it applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..errors import DataError
from ..example import Example
from ..item import Item
from ..requests import NEAR_TIE, Reply
from ..tasks.labels import right_labels
from .linear import ChoicesHead, added

if TYPE_CHECKING:
    import numpy as np
    import torch

UNTUNED = 0.5
"""The threshold of a label for which none was found."""


@dataclass(frozen=True)
class LabelsItem(Item):
    """An item with one number a label: 1 if it is right, else 0."""

    labels: tuple[float, ...] = ()


class MultiLabel(ChoicesHead):
    """A linear layer with one output a label, trained with binary cross-entropy: none, some or all may be right.

    The right ones are the example's ``labels``. A label is chosen where its probability reaches its threshold, which is
    tuned on the validation examples.
    """

    name = "multilabel"
    trains_on = frozenset({"prompt", "choices", "labels"})
    gives = "labels"

    def check_to_train(self, example: Example) -> None:
        """Raises DataError if the right labels are not known."""
        _right_labels(example)

    def check_to_tune(self, example: Example) -> None:
        """Raises DataError if the right labels are not known."""
        _right_labels(example)

    def labelled(self, item: Item, example: Example) -> Item:
        """The item with a 1 or 0 for each label, each of which is one term of the loss."""
        labels = _right_labels(example)
        return LabelsItem(item.rows, {**item.counts, self.name: len(labels)}, None, labels)

    def layer_loss(self, logits: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Binary cross-entropy, summed over items and labels."""
        import torch

        right = [item.labels for item in items if isinstance(item, LabelsItem)]
        labels = torch.tensor(right, dtype=torch.float32, device=logits.device)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The indices of the labels whose probability reaches their threshold, and the probability of each."""
        from scipy.special import expit, logit

        values = added(replies)
        probabilities: list[float] = expit(values).tolist()
        thresholds = self.tuned.get("thresholds") or [UNTUNED] * len(values)
        chosen = [index for index, value in enumerate(probabilities) if value >= thresholds[index]]
        margins = [abs(value - edge) for value, edge in zip(values, logit(thresholds).tolist(), strict=True)]
        detail = {"logits": list(values), "near_tie": min(margins) < NEAR_TIE}
        text = ", ".join(example.choices[index] for index in chosen)
        return Answer(chosen, text, tuple(probabilities), detail)

    def tune(self, examples: Sequence[Example], replies: Sequence[Sequence[Reply]]) -> dict[str, Any]:
        """The threshold of each label that gives the highest F1 on the examples."""
        import numpy as np
        from scipy.special import expit

        right = np.array([_right_labels(example) for example in examples])
        probabilities = expit(np.array([added(given) for given in replies]))
        return {"thresholds": [best_threshold(*columns) for columns in zip(right.T, probabilities.T, strict=True)]}


def best_threshold(right: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the highest F1 for one label; of several, the one nearest to 0.5, which is also the answer for
    a label that is never right.

    Thresholds are halfway between two probabilities, so that rounding in other batches hardly ever crosses one.
    """
    import numpy as np

    if not right.any():
        return UNTUNED
    order = np.argsort(-probabilities, kind="stable")
    ranked, found = probabilities[order], np.cumsum(right[order])
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))  # equal probabilities are chosen together
    f1 = 2 * found[ends] / (ends + 1 + found[-1])
    above = ranked[ends]
    below = np.append(above[1:], 0.0)
    middle = (above + below) / 2
    thresholds = np.where(middle > below, middle, above)  # the middle of neighbouring floats is one of them
    thresholds = np.where((below < UNTUNED) & (above >= UNTUNED), UNTUNED, thresholds)
    best = thresholds[f1 == f1.max()]
    return float(best[np.abs(best - UNTUNED).argmin()])


def _right_labels(example: Example) -> tuple[float, ...]:
    try:
        return right_labels(example)
    except ValueError as error:
        raise DataError(f"example {example.id}: {error}") from error
