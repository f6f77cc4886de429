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


def target_logprobs(
    head: Any, states: torch.Tensor, places: Sequence[int], targets: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """([n] float64, [n] bool) on the CPU: each target's log-probability in nats, and whether it is the likeliest token.

    ``head`` is the LM head. ``states`` [m, hidden] has the states, and ``places`` [n] the index of the state of each of
    the n targets. A state with many targets, such as the last one before the options of an example, goes through the
    head once.

    The running maximum and sum of exponentials are carried from block to block of the vocabulary (Milakov and
    Gimelshein, arXiv:1805.02867).
    """
    import numpy as np
    import torch

    distinct, state_of = np.unique(np.asarray(places, dtype=np.int64), return_inverse=True)
    order = np.argsort(state_of, kind="stable")  # the targets of a chunk of states are then beside each other
    rows = ROWS if _in_blocks(head) else max(1, LOGITS // head.weight.shape[0])
    ends = np.searchsorted(state_of[order], np.arange(rows, len(distinct) + rows, rows)).tolist()
    used, owners, ids = (
        torch.from_numpy(one).to(states.device)
        for one in (distinct, state_of[order], np.asarray(targets, dtype=np.int64)[order])
    )
    chunks, start = [], 0
    for number, end in enumerate(ends):
        chunk = slice(number * rows, (number + 1) * rows)
        part = slice(start, end)
        chunks.append(_chunk_logprobs(head, states[used[chunk]], owners[part] - number * rows, ids[part]))
        start = end
    logprobs, above = torch.cat(chunks, dim=-1).double().cpu()[:, torch.from_numpy(np.argsort(order))]
    return logprobs, above >= 0


def _chunk_logprobs(head: Any, states: torch.Tensor, owners: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """[2, n]: the log-probabilities, and each target's logit minus the highest logit (0 or less).

    owners: [n], the index of each target's state in ``states`` [m, hidden]; ids: [n], the targets.
    """
    import torch

    top = total = states.new_zeros(len(states), dtype=torch.float32)
    target = states.new_zeros(len(ids), dtype=torch.float32)
    for first, logits in _logits(head, states):
        columns = ids - first
        inside = (columns >= 0) & (columns < logits.shape[1])
        picked = logits[owners, columns.clamp(0, logits.shape[1] - 1)]
        highest = logits.amax(-1)
        if first:
            highest = torch.maximum(top, highest)
            total = total * (top - highest).exp_()
        total = total + logits.sub_(highest[:, None]).exp_().sum(-1)  # in place: a copy would be slower
        target = torch.where(inside, picked, target)
        top = highest
    above = target - top[owners]
    return torch.stack([above - total.log()[owners], above])


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
