"""The fast engine: what requests have in common is read once. Its replies are those of the plain engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backbones.left_padding import PaddedBatch
from ..backbones.local import LocalBackbone, Targets
from ..backbones.tree_attention import compute_prefix, forward_tree
from ..requests import Generate, GenerateReply
from .batches import batches_by_tokens
from .generate import Text, end_tokens
from .local import LocalEngine, Row, RowReply, shown_in_errors
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
        for index, row in enumerate(rows):
            if index not in replies:
                same[(tuple(row.ids), row.start, row.module, row.at)].append(index)
        twins = {indices[0]: indices for indices in same.values()}
        paths = {index: _path(rows[index]) for index in twins}
        for tree, cache in self._trees(rows, paths):
            for index, reply in self._read_tree(tree, cache, rows).items():
                for twin in twins[index]:
                    replies[twin] = reply
            report([twin for index in tree.at for twin in twins[index]])
        return [replies[index] for index in range(len(rows))]

    def _write(
        self, requests: Mapping[int, Generate], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The texts that are asked for, those with prompts of similar length together."""
        if self.backbone.unpadded is not None:
            return super()._write(requests, advance)
        written = super()._write({index: one for index, one in requests.items() if one.beams > 1}, advance)
        ends = end_tokens(self.backbone)
        indices: dict[Text, int] = {}
        for index, request in requests.items():
            if index not in written:
                with shown_in_errors(request):
                    indices[Text(self.backbone, request, ends)] = index
        texts = list(indices)
        lengths = [len(text.ids) + text.request.max_tokens for text in texts]
        for batch in batches_by_tokens(lengths, self.tokens_to_write):
            for text in write_together(self.backbone, [texts[place] for place in batch]):
                reply = written[indices[text]] = text.reply()
                if advance:
                    advance(1, reply.tokens)
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
        for some, ids in zip(torch.split(states, size), torch.split(wanted, size), strict=True):
            chunk = Targets(head(some).float(), ids, [len(ids)])
            logprobs.append(chunk.logprobs())
            greedy.append(chunk.greedy())
        return torch.cat(logprobs).cpu(), torch.cat(greedy).cpu()


def write_together(backbone: LocalBackbone, texts: Sequence[Text]) -> Iterator[Text]:
    """Write all the texts, one token each at a time; gives each as it is finished, and drops it then."""
    batch = PaddedBatch(backbone, [text.ids for text in texts])
    while texts:
        finished = [text.take(batch.logits[row]) for row, text in enumerate(texts)]
        yield from (text for text, done in zip(texts, finished, strict=True) if done)
        rows = [row for row, done in enumerate(finished) if not done]
        texts = [texts[row] for row in rows]
        if texts:
            if len(rows) < len(finished):
                batch.keep(rows)
            batch.go_on([text.tokens[-1] for text in texts])


def _path(row: Row) -> Path:
    """A row's tokens, and the states that it asks for: those before its scored tokens, or those to be read out."""
    return Path(row.ids, row.at if row.module is not None else range(row.start - 1, len(row.ids) - 1))
