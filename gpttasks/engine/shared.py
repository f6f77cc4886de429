"""The fast engine: what requests have in common is read once. Its replies are those of the plain engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backbones.left_padding import PaddedBatch
from ..backbones.local import LocalBackbone
from ..backbones.tree_attention import compute_prefix, forward_tree
from ..requests import Generate, GenerateReply, Request
from .batches import batches_by_tokens
from .generate import Text, end_tokens
from .local import LocalEngine, Row, RowReply
from .tree import Path, Tree, group_paths, into_blocks

if TYPE_CHECKING:
    import torch

LOGITS_AT_ONCE = 2**25
"""Logits that are held in memory together, for one chunk of scored tokens."""


class SharedEngine(LocalEngine):
    """Reads a beginning that many prompts have in common once, a prompt once for all its continuations, and equal rows
    once; only the states that are asked for go through the LM head.

    Texts are written together, and each is dropped as it is finished; beams are searched one by one, and long texts in
    windows have nothing to share: they go the plain way.
    """

    @property
    def tokens_to_write(self) -> int:
        """Tokens of prompts and answers that are held together while texts are written: each step reads but a few."""
        return self.tokens_per_batch if self.budget_given else 4 * self.tokens_per_batch

    def _read_rows(self, rows: Sequence[Row], report: Callable[[Sequence[int]], None]) -> list[RowReply]:
        """The reply to each row; ``report`` is told the rows that are done."""
        replies: dict[int, RowReply] = {}
        plain = [index for index, row in enumerate(rows) if row.family is None or self.backbone.unshared is not None]
        if plain:
            given = super()._read_rows([rows[index] for index in plain], lambda done: report([plain[i] for i in done]))
            replies.update(zip(plain, given, strict=True))
        same: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for index in sorted(set(range(len(rows))).difference(plain)):
            row = rows[index]
            same[(tuple(row.ids), row.start, row.module, row.at)].append(index)
        firsts = [indices[0] for indices in same.values()]
        twins = {indices[0]: indices for indices in same.values()}
        paths = {index: _path(rows[index]) for index in firsts}
        for tree, cache in self._trees(rows, paths):
            for index, reply in self._read_tree(tree, cache, rows).items():
                for twin in twins[index]:
                    replies[twin] = reply
            report([twin for index in tree.at for twin in twins[index]])
        return [replies[index] for index in range(len(rows))]

    def _write(
        self, requests: Mapping[int, Request], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The texts that are asked for, those with prompts of similar length together."""
        together = {
            index: request
            for index, request in requests.items()
            if isinstance(request, Generate) and request.beams == 1 and self.backbone.unpadded is None
        }
        alone = {index: request for index, request in requests.items() if index not in together}
        written = super()._write(alone, advance)
        ends = end_tokens(self.backbone)
        texts = {
            index: self._named(request, lambda: Text(self.backbone, request, ends))  # noqa: B023 - called at once
            for index, request in together.items()
        }
        order = list(texts)
        lengths = [len(texts[index].ids) + texts[index].request.max_tokens for index in order]
        for batch in batches_by_tokens(lengths, self.tokens_to_write):
            for place in write_together(self.backbone, [texts[order[at]] for at in batch]):
                index = order[batch[place]]
                written[index] = texts[index].reply()
                if advance:
                    advance(1, written[index].tokens)
        return written

    def _trees(self, rows: Sequence[Row], paths: dict[int, Path]) -> Iterator[tuple[Tree, Any]]:
        """The rows as trees, each with the keys and values of its prefix."""
        families: dict[Any, list[int]] = defaultdict(list)
        for index in paths:
            families[rows[index].family].append(index)
        for block in into_blocks(group_paths(paths, list(families.values()))):
            first = block.groups[0].ids
            cache = compute_prefix(self.backbone, first[: block.prefix]) if block.prefix else None
            for tree in block.trees(paths, self.tokens_per_tree):
                yield tree, cache

    @property
    def tokens_per_tree(self) -> int:
        """New tokens in one row: enough to keep the matrices busy, few enough that little is masked."""
        return min(self.tokens_per_batch, 512)

    def _read_tree(self, tree: Tree, cache: Any, rows: Sequence[Row]) -> dict[int, RowReply]:
        import numpy as np

        states = forward_tree(self.backbone, tree.ids, np.array(tree.positions), tree.sees(), cache)
        scored = [index for index in tree.at if rows[index].module is None]
        replies: dict[int, RowReply] = {}
        if scored:
            at = [place for index in scored for place in tree.at[index]]
            targets = [token for index in scored for token in rows[index].ids[rows[index].start :]]
            logprobs, greedy = self._logprobs(states[at], targets)
            begin = 0
            for index in scored:
                end = begin + len(tree.at[index])
                replies[index] = RowReply(float(logprobs[begin:end].double().sum()), bool(greedy[begin:end].all()))
                begin = end
        for index in tree.at:
            module = rows[index].module
            if module is not None:
                assert self.modules is not None
                values = self.modules[module](states[tree.at[index]].float()).float().cpu()
                replies[index] = RowReply(values=tuple(values.reshape(-1).tolist()))
        return replies

    def _logprobs(self, states: torch.Tensor, targets: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """([n], [n]) on the CPU: the log-probability of each target in nats, and whether it was the likeliest token."""
        import torch

        head = self.backbone.causal_lm.get_output_embeddings()
        wanted = torch.as_tensor(targets, dtype=torch.long, device=states.device)
        size = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
        logprobs, greedy = [], []
        for begin in range(0, len(targets), size):
            logits = head(states[begin : begin + size]).float()
            some = wanted[begin : begin + size]
            logprobs.append(-torch.nn.functional.cross_entropy(logits, some, reduction="none"))
            greedy.append(logits.argmax(-1) == some)
        return torch.cat(logprobs).cpu(), torch.cat(greedy).cpu()


def write_together(backbone: LocalBackbone, texts: Sequence[Text]) -> Iterator[int]:
    """Write all the texts, one token each at a time; gives the place of each as it is finished, and drops it then."""
    left = list(range(len(texts)))
    batch = PaddedBatch(backbone, [text.ids for text in texts])
    while True:
        finished = {place for row, place in enumerate(left) if texts[place].take(batch.logits[row])}
        yield from sorted(finished)
        rows = [row for row, place in enumerate(left) if place not in finished]
        if not rows:
            return
        if finished:
            batch.keep(rows)
            left = [left[row] for row in rows]
        batch.go_on([texts[place].tokens[-1] for place in left])


def _path(row: Row) -> Path:
    """A row's tokens, and the states that it asks for: those before its scored tokens, or those to be read out."""
    return Path(row.ids, row.at if row.module is not None else range(row.start - 1, len(row.ids) - 1))
