"""Log-probabilities of target tokens from hidden states, without materialising the logits of the whole vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROWS, COLUMNS = 1024, 2048
"""The block of states and vocabulary entries whose logits are held at once on a CPU, sized for its caches."""
LOGITS = 2**24
"""The number of logits that are held at once on other devices, always for the whole vocabulary."""


def target_logprobs(head: Any, states: torch.Tensor, targets: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """([n] float64, [n] bool) on the CPU: each target's log-probability in nats, and whether it is the likeliest token.

    ``head`` is the LM head, and ``states`` [n, hidden] holds one state for each of the n targets. The running maximum
    and sum of exponentials are carried from block to block of the vocabulary (Milakov and Gimelshein,
    arXiv:1805.02867).
    """
    import torch

    target_ids = torch.as_tensor(targets, dtype=torch.long, device=states.device)
    rows = ROWS if _in_blocks(head) else max(1, LOGITS // head.weight.shape[0])
    chunks = [
        _chunk_logprobs(head, chunk, ids)
        for chunk, ids in zip(torch.split(states, rows), torch.split(target_ids, rows), strict=True)
    ]
    logprobs, above = torch.cat(chunks, dim=-1).double().cpu()
    return logprobs, above >= 0


def _chunk_logprobs(head: Any, states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """[2, n]: the log-probabilities, and each target's logit minus the highest logit (0 or less)."""
    import torch

    top = total = target = states.new_zeros(len(ids), dtype=torch.float32)
    for first, logits in _logits(head, states):
        columns = ids - first
        inside = (columns >= 0) & (columns < logits.shape[1])
        picked = logits.gather(-1, columns.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        highest = logits.amax(-1)
        if first:
            highest = torch.maximum(top, highest)
            total = total * (top - highest).exp_()
        total = total + logits.sub_(highest[:, None]).exp_().sum(-1)  # in place: a copy would be slower
        target = torch.where(inside, picked, target)
        top = highest
    above = target - top
    return torch.stack([above - total.log(), above])


def _logits(head: Any, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """For each block of the vocabulary, its first entry and the logits [n, entries]."""
    import torch

    if not _in_blocks(head):
        yield 0, head(states).float()
        return
    for first in range(0, head.weight.shape[0], COLUMNS):
        block = slice(first, first + COLUMNS)
        bias = None if head.bias is None else head.bias[block]
        yield first, torch.nn.functional.linear(states, head.weight[block], bias).float()


def _in_blocks(head: Any) -> bool:
    """Whether the logits can be computed block by block: a plain linear layer on a CPU, without an adapter."""
    import torch

    return type(head) is torch.nn.Linear and head.weight.device.type == "cpu"
