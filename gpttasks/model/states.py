"""The results of a forward pass: hidden states, and the tokens that are predicted from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..tokens.rows import TokenRow


def pooled(states: torch.Tensor, row: TokenRow) -> torch.Tensor:
    """[vectors, width]: the vectors that a row's module reads, from the states [len(row.at), hidden] at the row's
    indices.
    """
    import torch

    if not row.groups:
        return states
    return torch.stack([torch.cat([_pool(states[list(span)], row.pooling) for span in group]) for group in row.groups])


def _pool(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """[hidden]: one vector from the states [tokens, hidden]."""
    if pooling == "mean":
        return states.mean(0)
    if pooling == "max":
        return states.amax(0)
    return states[0 if pooling == "first" else -1]


class Forward:
    """The result of a forward pass over some rows.

    ids: [rows, length], padded on the right with zeros; lengths: the real length of each row; states: [rows, length,
    hidden], the last hidden states; head: the LM head, which computes logits from states; logits: [rows, length,
    vocabulary], if there is no such head; layers: the states of other layers, by the numbers of
    :class:`gpttasks.Readout`.
    """

    def __init__(
        self,
        ids: torch.Tensor,
        lengths: Sequence[int],
        states: torch.Tensor,
        head: Callable[[torch.Tensor], torch.Tensor] | None = None,
        logits: torch.Tensor | None = None,
        layers: Mapping[int, torch.Tensor] | None = None,
    ) -> None:
        self.ids = ids
        self.lengths = lengths
        self.states = states
        self._head = head
        self._logits = logits
        self._layers = {-1: states, **(layers or {})}

    def last_states(self) -> torch.Tensor:
        """[rows, hidden]: the state of each row's last real token."""
        import torch

        last = torch.tensor(self.lengths, device=self.states.device) - 1
        return self.states[torch.arange(len(self.lengths), device=self.states.device), last]

    def read(self, rows: Sequence[TokenRow]) -> torch.Tensor:
        """[n, width]: the vectors that the rows' module reads, ``row.vectors`` from each row, row after row.

        ``rows`` are all rows of the forward pass, and must read the same layer. The width is that of the states, or
        twice that for pairs of spans.
        """
        import torch

        (layer,) = {row.layer for row in rows}
        states = self.states_at([row.at for row in rows], layer)
        parts = torch.split(states, [len(row.at) for row in rows])
        return torch.cat([pooled(part, row) for part, row in zip(parts, rows, strict=True)])

    def states_at(self, tokens: Sequence[Sequence[int]], layer: int = -1) -> torch.Tensor:
        """[n, hidden]: the states of a layer at the given tokens of each row, row after row."""
        import torch

        counts = torch.tensor([len(row) for row in tokens])
        rows = torch.repeat_interleave(torch.arange(len(tokens)), counts).to(self.states.device)
        places = torch.tensor([place for row in tokens for place in row], dtype=torch.long, device=self.states.device)
        return self._layers[layer][rows, places]

    def targets(self, starts: Sequence[int]) -> Targets:
        """The tokens of each row from ``starts[row]`` (at least 1) to its end; only these go through the LM head."""
        import torch

        counts = [length - start for length, start in zip(self.lengths, starts, strict=True)]
        rows = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(self.ids.device)
        spans = [torch.arange(start, length) for start, length in zip(starts, self.lengths, strict=True)]
        positions = torch.cat(spans).to(self.ids.device)
        if self._logits is not None:
            logits = self._logits[rows, positions - 1]
        else:
            assert self._head is not None
            logits = self._head(self.states[rows, positions - 1])
        return Targets(logits.float(), self.ids[rows, positions], counts)


def in_one(parts: Sequence[Forward], indices: Sequence[Sequence[int]]) -> Forward:
    """Joins the results of several forward passes; ``indices`` are the places of each part's rows in the whole."""
    import torch

    order = torch.tensor([index for group in indices for index in group]).argsort()
    longest = max(part.ids.shape[1] for part in parts)

    def padded(tensor: torch.Tensor) -> torch.Tensor:
        """[rows, length, ...], padded on the right with zeros."""
        padding = [0, 0] * (tensor.dim() - 2) + [0, longest - tensor.shape[1]]
        return torch.nn.functional.pad(tensor, padding)

    def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([padded(tensor) for tensor in tensors])[order.to(tensors[0].device)]

    lengths = [length for part in parts for length in part.lengths]
    logits = [part._logits for part in parts if part._logits is not None]
    return Forward(
        joined([part.ids for part in parts]),
        [lengths[place] for place in order.tolist()],
        joined([part.states for part in parts]),
        head=parts[0]._head,
        logits=joined(logits) if logits else None,
        layers={layer: joined([part._layers[layer] for part in parts]) for layer in parts[0]._layers if layer != -1},
    )


@dataclass(frozen=True)
class Targets:
    """The n predicted tokens of all rows, row after row.

    logits: [n, vocabulary], float32; ids: [n]; counts: the number of predicted tokens in each row.
    """

    logits: torch.Tensor
    ids: torch.Tensor
    counts: list[int]

    def logprobs(self) -> torch.Tensor:
        """[n]: the log-probability of each token in nats."""
        import torch

        return -torch.nn.functional.cross_entropy(self.logits, self.ids, reduction="none")

    def nll(self) -> torch.Tensor:
        """The negative log-likelihood of all n tokens, in nats."""
        import torch

        return torch.nn.functional.cross_entropy(self.logits, self.ids, reduction="sum")

    def greedy(self) -> torch.Tensor:
        """[n], bool: whether no other token was likelier."""
        return self.logits.gather(-1, self.ids[:, None])[:, 0] >= self.logits.amax(-1)
