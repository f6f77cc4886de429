"""``classifier``: a trained linear layer on the state at the prompt's last token, GPT-1's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..answer import Answer
from ..backbones.base import Backbone
from ..backbones.join import join
from ..backbones.local import LocalBackbone
from ..component import Options
from ..errors import BackboneError, DataError
from ..requests import Readout, ReadoutReply, Reply, Request
from ..tasks.example import Example
from .base import Head, Item, TokenSequence, target_starts
from .choice import near_tie, softmax

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..backbones.local import Forward


class ClassifierOptions(Options):
    """How the layer is trained."""

    lm_weight: float = Field(0.0, ge=0, description="weight of the language-model loss beside it; GPT-1 used 0.5")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the state before the layer, in training; GPT-1 used 0.1. It is drawn for each "
        "micro-batch, so that runtime.tokens_per_batch moves what is learned",
    )


class Classifier(Head):
    """A linear layer with one output a choice, after Radford et al. 2018, section 3.2.

    Reads the state at each row's last real token, found by the row's length: no padding token is needed.
    """

    name = "classifier"
    Options = ClassifierOptions
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"
    one_item = True
    needs_training = True
    prompted = False

    options: ClassifierOptions
    layers: nn.ModuleDict

    def bind(self, backbone: Backbone, example: Example) -> None:
        """Make the layer, with as many outputs as the example has choices."""
        import torch

        super().bind(backbone, example)
        if not isinstance(backbone, LocalBackbone):
            raise BackboneError(f"head 'classifier' needs a local model, and backbone {backbone.name!r} is none")
        layer = torch.nn.Linear(backbone.hidden_size, len(example.choices))
        torch.nn.init.normal_(layer.weight, std=0.02)
        torch.nn.init.zeros_(layer.bias)
        self.layers = torch.nn.ModuleDict({"classifier": layer})
        self.choices = example.choices

    def modules(self) -> nn.ModuleDict:
        """The linear layer, as ``classifier``."""
        return self.layers

    def fits(self) -> dict[str, Any]:
        """The choices, in the order of the outputs."""
        return {"choices": list(self.choices)}

    def items(self, example: Example) -> Iterator[Item]:
        """The prompt; with an auxiliary language-model loss all of its tokens are targets too."""
        joined = join(self.backbone.tokenizer, example.prompt, "", self.backbone.context)
        counts = {"classifier": 1}
        start = len(joined.ids)
        if self.options.lm_weight and start > 1:
            counts["lm"], start = start - 1, 1
        yield Item((TokenSequence(joined.ids, start),), counts, self._label(example), joined.cut)

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Cross-entropy of the labels, and the weighted one of the text."""
        import torch

        states = torch.nn.functional.dropout(outputs.last_states().float(), self.options.dropout, self.layers.training)
        logits = self.layers["classifier"](states)
        labels = torch.tensor([item.label for item in items], device=logits.device)
        losses = {"classifier": torch.nn.functional.cross_entropy(logits, labels, reduction="sum")}
        if any("lm" in item.counts for item in items):
            losses["lm"] = outputs.targets(target_starts(items)).nll() * self.options.lm_weight
        return losses

    def requests(self, example: Example) -> list[Request]:
        """One readout of the layer."""
        return [Readout(example.prompt, "classifier")]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The index of the highest output, with the softmax of all."""
        (reply,) = replies
        assert isinstance(reply, ReadoutReply)
        best = max(range(len(reply.values)), key=lambda index: reply.values[index])
        detail = {"logits": list(reply.values), "near_tie": near_tie(reply.values)}
        return Answer(best, example.choices[best], softmax(reply.values), detail)

    def _label(self, example: Example) -> int:
        if example.choices != self.choices:
            raise DataError(
                f"example {example.id} has the choices {list(example.choices)}, the first one had {list(self.choices)}",
                hint="head 'classifier' has one output a class; use head 'choice' where options differ",
            )
        if not isinstance(example.label, int):
            raise DataError(f"example {example.id}: wanted a label that is an index of choices, got {example.label!r}")
        return example.label
