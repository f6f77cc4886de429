"""What a forward pass gives: hidden states, and the tokens that are predicted from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Forward:
    """The result of a forward pass over some rows.

    ids: [rows, length], padded on the right with zeros; lengths: the real length of each row; states: [rows, length,
    hidden], the last hidden states; head: the LM head, which makes logits of states, or else logits: [rows, length,
    vocabulary].
    """

    def __init__(
        self,
        ids: torch.Tensor,
        lengths: Sequence[int],
        states: torch.Tensor,
        head: Callable[[torch.Tensor], torch.Tensor] | None = None,
        logits: torch.Tensor | None = None,
    ) -> None:
        self.ids = ids
        self.lengths = lengths
        self.states = states
        self._head = head
        self._logits = logits

    def last_states(self) -> torch.Tensor:
        """[rows, hidden]: the state at each row's last real token."""
        import torch

        last = torch.tensor(self.lengths, device=self.states.device) - 1
        return self.states[torch.arange(len(self.lengths), device=self.states.device), last]

    def states_at(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """[n, hidden]: the states at the given tokens of each row, row after row."""
        import torch

        counts = torch.tensor([len(row) for row in tokens])
        rows = torch.repeat_interleave(torch.arange(len(tokens)), counts).to(self.states.device)
        places = torch.tensor([place for row in tokens for place in row], dtype=torch.long, device=self.states.device)
        return self.states[rows, places]

    def targets(self, starts: Sequence[int]) -> Targets:
        """Each row's tokens from ``starts[row]`` (at least 1) to its end; only they go through the LM head."""
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


@dataclass(frozen=True)
class Targets:
    """The predicted tokens of all rows one after another.

    logits: [n, vocabulary], float32; ids: [n]; counts: how many of the n each row has.
    """

    logits: torch.Tensor
    ids: torch.Tensor
    counts: list[int]

    def logprobs(self) -> torch.Tensor:
        """[n]: the log-probability of each token in nats."""
        import torch

        return -torch.nn.functional.cross_entropy(self.logits, self.ids, reduction="none")

    def nll(self) -> torch.Tensor:
        """The negative log-likelihood of all n tokens together, in nats."""
        import torch

        return torch.nn.functional.cross_entropy(self.logits, self.ids, reduction="sum")

    def greedy(self) -> torch.Tensor:
        """[n], bool: whether no token was likelier."""
        return self.logits.gather(-1, self.ids[:, None])[:, 0] >= self.logits.amax(-1)
