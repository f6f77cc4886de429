"""The fast engine: what requests have in common is read once. Its replies are those of the plain engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backbones.left_padding import PaddedBatch, prefix_fits
from ..backbones.local import LocalBackbone
from ..backbones.tree_attention import compute_prefix, forward_rows
from ..requests import Generate, GenerateReply
from .batches import TokenBudget
from .generate import Text, end_tokens, next_tokens
from .local import LocalEngine, Row, RowReply, shown_in_errors
from .tree import Block, Path, Tree, common_beginning, group_paths, into_blocks, worth_reading_once

if TYPE_CHECKING:
    import torch
    from torch import nn

ROW_AFTER_A_PREFIX = 384
"""Tokens of several groups in one row after a common beginning: more of them would mostly mask each other."""
LOGITS_AT_ONCE = 2**24
"""Logits that are held in memory together, for one chunk of scored tokens."""


class SharedEngine(LocalEngine):
    """Reads a beginning that many prompts have in common once, a prompt once for all its continuations, and equal rows
    once; only the states that are asked for go through the LM head.

    Texts are written together, and each is dropped as it is finished; beams are searched one by one, and long texts in
    windows have nothing to share: they go the plain way.

    Memory beside the weights: a batch of ``budget.tokens`` tokens, ``LOGITS_AT_ONCE`` logits, and the keys and values
    of one common beginning; while texts are written, the keys and values of ``tokens_to_write`` tokens.
    """

    @property
    def tokens_to_write(self) -> int:
        """Tokens of prompts and answers that are held together while texts are written: each step reads but a few."""
        return self.budget.tokens if self.budget.given else 12 * self.budget.tokens

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
        families: dict[Any, list[int]] = defaultdict(list)
        for index in paths:
            families[rows[index].family].append(index)
        for block in into_blocks(group_paths(paths, list(families.values())), paths):
            for found in self._read_block(block, paths, rows):
                done = {twin: reply for index, reply in found.items() for twin in twins[index]}
                replies.update(done)
                report(list(done))
        return [replies[index] for index in range(len(rows))]

    def _read_block(
        self, block: Block, paths: Mapping[int, Path], rows: Sequence[Row]
    ) -> Iterator[dict[int, RowReply]]:
        """The replies to the paths of groups that begin alike, a batch at a time."""
        lengths = [group.own - block.prefix for group in block.groups]
        cache = None
        if block.prefix:
            room = block.prefix + max(self.budget.tokens, *lengths)
            cache = compute_prefix(self.backbone, block.groups[0].ids[: block.prefix], room)
            self.budget.add(block.prefix)

        def read(batch: list[int]) -> tuple[int, dict[int, RowReply]]:
            groups = [block.groups[index] for index in batch]
            # After a prefix all stand in one row, since a row of its own would need a copy of the prefix.
            trees = Block(block.prefix, groups).trees(paths, in_one_row=cache is not None)
            states = forward_rows(self.backbone, [tree.row for tree in trees], cache)
            return states.shape[0] * states.shape[1], self._replies(trees, states, rows)

        most = max(ROW_AFTER_A_PREFIX, self.budget.tokens // 4) if block.prefix else None
        yield from self.budget.spend(lengths, read, most)

    def _replies(self, trees: Sequence[Tree], states: torch.Tensor, rows: Sequence[Row]) -> dict[int, RowReply]:
        """The replies to the paths of some trees, from the states [trees, tokens, hidden]."""
        import torch

        flat = states.flatten(0, 1)
        at = {
            index: [number * states.shape[1] + place for place in places]
            for number, tree in enumerate(trees)
            for index, places in tree.at.items()
        }
        scored = [index for index in at if rows[index].module is None]
        replies: dict[int, RowReply] = {}
        if scored:
            targets = [token for index in scored for token in rows[index].ids[rows[index].start :]]
            logprobs, greedy = self._logprobs(flat[[place for index in scored for place in at[index]]], targets)
            sizes = [len(at[index]) for index in scored]
            parts = zip(scored, torch.split(logprobs, sizes), torch.split(greedy, sizes), strict=True)
            for index, values, likeliest in parts:
                replies[index] = RowReply(float(values.sum()), bool(likeliest.all()))
        for name in {module for index in at if (module := rows[index].module) is not None}:
            assert self.modules is not None
            read = [index for index in at if rows[index].module == name]
            values = self.modules[name](flat[[place for index in read for place in at[index]]].float()).float().cpu()
            for index, part in zip(read, torch.split(values, [len(at[index]) for index in read]), strict=True):
                replies[index] = RowReply(values=tuple(part.reshape(-1).tolist()))
        return replies

    def _logprobs(self, states: torch.Tensor, targets: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """([n] float64, [n] bool) on the CPU: each target's log-probability in nats, and whether none was likelier.

        The logits are written over: they are the most of what is in memory, and reading them twice takes its time.
        """
        import torch

        head = self.backbone.causal_lm.get_output_embeddings()
        wanted = torch.as_tensor(targets, dtype=torch.long, device=states.device)[:, None]
        size = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
        found = []
        for some, ids in zip(torch.split(states, size), torch.split(wanted, size), strict=True):
            logits = head(some).float()
            above = logits.gather(-1, ids)[:, 0] - (top := logits.amax(-1))
            rest = logits.sub_(top[:, None]).exp_().sum(-1).log()
            found.append(torch.stack([above - rest, above]))
        logprobs, above = torch.cat(found, dim=-1).double().cpu()
        return logprobs, above >= 0

    def _write(
        self, requests: Mapping[int, Generate], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The texts that are asked for, those with prompts of similar length together."""
        if self.backbone.unpadded is not None:
            return super()._write(requests, advance)
        written = super()._write({index: one for index, one in requests.items() if one.beams > 1}, advance)
        ends = end_tokens(self.backbone)
        indices, texts = [], []
        for index, request in requests.items():
            if index not in written:
                with shown_in_errors(request):
                    texts.append(Text(self.backbone, request, ends))
                indices.append(index)
        shared, cache = self._common_prompt(texts)
        lengths = [len(text.ids) - shared + text.request.max_tokens for text in texts]
        finished: dict[Text, GenerateReply] = {}

        def write(batch: list[int]) -> tuple[int, None]:
            left = [texts[place] for place in batch if texts[place] not in finished]
            for text in left:
                text.begin()
            for text in write_together(self.backbone, left, shared, cache, self.budget.tokens):
                finished[text] = text.reply()
                self.asked += len(text.ids) + len(text.tokens)
                self.budget.add(len(text.ids) - shared + len(text.tokens))
                if advance:
                    advance(1, len(text.tokens))
            return len(batch) * max(lengths[place] for place in batch), None

        held = TokenBudget(self.tokens_to_write, str(self.backbone.device))
        for _ in held.spend(lengths, write):
            pass
        self.budget.halved += held.halved
        return written | {index: finished[text] for index, text in zip(indices, texts, strict=True)}

    def _common_prompt(self, texts: Sequence[Text]) -> tuple[int, Any]:
        """How many ids all prompts begin with alike, and their keys and values; (0, None) where it does not pay."""
        if len(texts) < 2 or not prefix_fits(self.backbone):
            return 0, None
        common = common_beginning([text.ids for text in texts])
        common = min(common, *(len(text.ids) - 1 for text in texts))
        if not worth_reading_once(common, len(texts)):
            return 0, None
        self.budget.add(common)
        return common, compute_prefix(self.backbone, texts[0].ids[:common], common)


def engine_for(
    backbone: LocalBackbone,
    modules: nn.ModuleDict | None = None,
    tokens_per_batch: int | None = None,
    sharing: bool = True,
) -> LocalEngine:
    """The fast engine where the model can do anything of it, and sharing is not switched off; else the plain one."""
    able = backbone.unshared is None or backbone.unpadded is None
    return (SharedEngine if sharing and able else LocalEngine)(backbone, modules, tokens_per_batch)


def write_together(
    backbone: LocalBackbone, texts: Sequence[Text], shared: int, cache: Any, at_once: int
) -> Iterator[Text]:
    """Write all the texts, one token each at a time; gives each as it is finished, and drops it then.

    shared, cache: so many ids that all begin with, and their keys and values; at_once: how many tokens of the prompts
    are read together.
    """
    room = max(len(text.ids) for text in texts) + max(text.request.max_tokens for text in texts)
    batch = PaddedBatch(backbone, [text.ids for text in texts], room, shared, cache, at_once)
    while texts:
        finished = [text.take(token) for text, token in zip(texts, next_tokens(batch.logits), strict=True)]
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
