"""What heads with a trained linear layer on the state at the prompt's last token have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..backbones.base import Backbone
from ..component import Options
from ..errors import BackboneError, DataError
from ..example import Example, Prompt, as_prompt
from ..item import Item, target_starts
from ..requests import Readout, ReadoutReply, Reply, Request
from .base import Head

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.states import Forward


class LinearOptions(Options):
    """How the layer is trained, and what it reads."""

    lm_weight: float = Field(
        0.0, ge=0, le=1000, description="the weight of an additional language-modeling loss; GPT-1 used 0.5"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the hidden state before the layer, in training; GPT-1 used 0.1. Its random "
        "numbers depend on the micro-batches, so runtime.tokens_per_batch then affects the result",
    )
    both_orders: str | None = Field(
        None,
        min_length=1,
        description="the delimiter between two texts in the prompt, such as ' $ ': both orders are read as one "
        "item, for symmetric tasks such as paraphrase detection",
    )


class LinearHead(Head):
    """A linear layer on the last state, after Radford et al. 2018, sections 3.2 and 3.3.

    Reads the state at each row's last real token, found by the row's length: no padding token is needed. With
    ``both_orders`` an example is two rows, whose outputs are added. The layer, its loss and its module in a saved run
    have the head's name.

    A subclass gives ``outputs``, ``labelled``, ``layer_loss`` and ``answer``.
    """

    Options = LinearOptions
    asks = frozenset({Readout})
    one_item = True
    needs_training = True
    prompted = False

    options: LinearOptions
    layers: nn.ModuleDict

    def outputs(self, example: Example) -> int:
        """How many outputs the layer has, from one example of the task."""
        raise NotImplementedError

    def labelled(self, item: Item, example: Example) -> Item:
        """The item with the example's right answer. Raises DataError for one that cannot be trained on."""
        raise NotImplementedError

    def layer_loss(self, logits: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """The sum of the loss over the items, from float32 [items, outputs]."""
        raise NotImplementedError

    def check(self, example: Example) -> None:
        """Raises DataError if the prompt cannot be put in both orders."""
        self._orders(example)

    def bind(self, backbone: Backbone, example: Example) -> None:
        """Make the layer."""
        import torch

        super().bind(backbone, example)
        if backbone.lm is None:
            raise BackboneError(f"head {self.name!r} reads hidden states, and {backbone.name!r} gives none")
        layer = torch.nn.Linear(backbone.lm.hidden_size, self.outputs(example))
        torch.nn.init.normal_(layer.weight, std=0.02)
        torch.nn.init.zeros_(layer.bias)
        self.layers = torch.nn.ModuleDict({self.name: layer})

    def modules(self) -> nn.ModuleDict:
        """The linear layer, under the head's name."""
        return self.layers

    def fits(self) -> dict[str, Any]:
        """How many orders of the text it adds up, where it is more than one."""
        return {"orders": 2} if self.options.both_orders is not None else {}

    def items(self, example: Example) -> Iterator[Item]:
        """The prompt, in each order; with an auxiliary language-model loss all of its tokens are targets too."""
        rows = [row for request in self.requests(example) for row in self.rows(request)]
        if self.options.lm_weight:
            rows = [replace(row, start=1) for row in rows]
        terms = sum(row.predicted for row in rows)
        yield self.labelled(Item(tuple(rows), {self.name: 1} | ({"lm": terms} if terms else {})), example)

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """The loss of the layer, and the weighted cross-entropy of the text."""
        import torch

        states = torch.nn.functional.dropout(outputs.last_states().float(), self.options.dropout, self.layers.training)
        values = self.layers[self.name](states).float()
        logits = values.unflatten(0, (len(items), -1)).sum(1)  # the same number of rows an item
        losses = {self.name: self.layer_loss(logits, items)}
        if any("lm" in item.counts for item in items):
            losses["lm"] = outputs.targets(target_starts(items)).nll() * self.options.lm_weight
        return losses

    def requests(self, example: Example) -> list[Request]:
        """One readout of the layer for each order of the text."""
        return [Readout(prompt, self.name) for prompt in self._orders(example)]

    def _orders(self, example: Example) -> list[Prompt]:
        delimiter = self.options.both_orders
        return [example.prompt] if delimiter is None else [example.prompt, other_order(example, delimiter)]


class ChoicesHead(LinearHead):
    """A linear layer with one output per choice: all examples must have the same choices."""

    needs = frozenset({"prompt", "choices"})

    choices: tuple[str, ...] | None = None
    """Those of the outputs, in their order: the choices of the first example that ``check`` or ``bind`` gets."""

    def check(self, example: Example) -> None:
        """Raises DataError for other choices than those of the outputs."""
        super().check(example)
        self.choices = self.choices or example.choices
        self._check_choices(example)

    def outputs(self, example: Example) -> int:
        """As many as the example has choices."""
        self.choices = example.choices
        return len(example.choices)

    def fits(self) -> dict[str, Any]:
        """The choices, in the order of the outputs."""
        return {"choices": list(self.choices or ()), **super().fits()}

    def items(self, example: Example) -> Iterator[Item]:
        """See :meth:`LinearHead.items`. Raises DataError for other choices than those of the outputs."""
        self._check_choices(example)
        yield from super().items(example)

    def requests(self, example: Example) -> list[Request]:
        """See :meth:`LinearHead.requests`. Raises DataError for other choices than those of the outputs."""
        self._check_choices(example)
        return super().requests(example)

    def _check_choices(self, example: Example) -> None:
        if self.choices is not None and example.choices != self.choices:
            raise DataError(
                f"example {example.id} has the choices {list(example.choices)}, the first one had {list(self.choices)}",
                hint=f"head {self.name!r} has one output per choice; use head 'choice' where they differ",
            )


def other_order(example: Example, delimiter: str) -> Prompt:
    """The example's prompt with the two sides of the delimiter exchanged.

    Raises DataError unless the delimiter occurs exactly once in the fixed text; passages do not count.
    """
    prompt = example.prompt
    fixed = [part.text if part.kind == "fixed" else "" for part in prompt]
    count = sum(text.count(delimiter) for text in fixed)
    if count != 1:
        times = {0: "does not occur", 2: "occurs twice"}.get(count, f"occurs {count} times")
        raise DataError(
            f"example {example.id}: the delimiter {delimiter!r} {times} in the fixed text of the prompt, "
            "expected exactly once",
            hint="mark both texts as passages: '{{ a | passage }}" + delimiter + "{{ b | passage }}'",
        )
    place = next(place for place, text in enumerate(fixed) if delimiter in text)
    part, start = prompt[place], fixed[place].index(delimiter)
    end = start + len(delimiter)
    before, between, after = part.piece(0, start), part.piece(start, end), part.piece(end, len(part.text))
    return as_prompt((after, *prompt[place + 1 :], between, *prompt[:place], before))


def added(replies: Sequence[Reply]) -> tuple[float, ...]:
    """The outputs of the layer, added over the readouts."""
    readouts = [reply.values for reply in replies if isinstance(reply, ReadoutReply)]
    return tuple(sum(values) for values in zip(*readouts, strict=True))
