"""The fast engine: it processes once what several requests have in common. Its replies equal the plain engine's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..model.left_padding import PaddedBatch, prefix_fits
from ..model.tree_attention import compute_prefix, forward_rows
from ..requests import Generate, GenerateReply, WatchesPrompts, report_finished
from ..tokens.prefix import common_beginning
from ..tokens.rows import TokenRow
from .batches import TokenBudget
from .generation import Text, end_tokens, next_tokens
from .plain import LocalEngine, RowReply, first_misses, shown_in_errors
from .target_logprobs import target_logprobs
from .tree import Block, group_paths, into_blocks, worth_reading_once

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.causal_lm import CausalLM

ROW_AFTER_A_PREFIX = 384
"""The most tokens that several groups have in one row after a common prefix; in longer rows they would mostly mask each
other."""


class SharedEngine(LocalEngine):
    """Processes a common prefix of many prompts once, a prompt once for all its continuations, and equal rows once.
    Only the states that a request needs go through the LM head.

    Texts are generated together, and each leaves the batch when it is finished. Beam searches run one by one.

    Memory beside the weights: a batch of ``budget.tokens`` tokens, the logits of some of its tokens for a part of the
    vocabulary, and the keys and values of one common prefix. During generation: the keys and values of
    ``tokens_to_write`` tokens.
    """

    @property
    def tokens_to_write(self) -> int:
        """The most tokens of prompts and answers held during generation; each step processes only a few of them."""
        return self.budget.tokens if self.budget.fixed else 16 * self.budget.tokens

    def _read_rows(self, rows: Sequence[TokenRow], report: Callable[[Mapping[int, RowReply]], None]) -> None:
        """See :meth:`LocalEngine._read_rows`."""
        if not self.lm.supports.sharing:
            super()._read_rows(rows, report)
            return
        # The fast paths return only the states of the last layer, for rows with one set of rotary factors.
        apart = [index for index, row in enumerate(rows) if row.layer != -1 or not self.lm.keeps_rope(len(row.ids))]
        super()._read_rows(
            [rows[index] for index in apart],
            lambda done: report({apart[index]: reply for index, reply in done.items()}),
        )
        read_apart = set(apart)
        equal_rows: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if index in read_apart:
                continue
            equal_rows[(tuple(row.ids), row.start, row.module, row.at, row.groups, row.pooling, row.preferred)].append(
                index
            )
        duplicates = {indices[0]: indices for indices in equal_rows.values()}
        paths = {index: rows[index] for index in duplicates}
        families: dict[Any, list[int]] = defaultdict(list)
        for index in paths:
            family = rows[index].family
            families[index if family is None else family].append(index)  # None: a window of a long text, by itself
        for block in into_blocks(group_paths(paths, list(families.values())), paths):
            for batch_replies in self._read_block(block, paths, rows):
                report({index: reply for first, reply in batch_replies.items() for index in duplicates[first]})

    def _read_block(
        self, block: Block, paths: Mapping[int, TokenRow], rows: Sequence[TokenRow]
    ) -> Iterator[dict[int, RowReply]]:
        """The replies to the paths of a block, a batch at a time."""
        lengths = [group.own - block.prefix for group in block.groups]
        ragged = self._ragged(max(paths[index].fed for group in block.groups for index in group.paths))
        if ragged:
            from ..model.ragged_attention import forward_ragged
        cache = None
        if block.prefix:
            room = block.prefix + (0 if ragged else max(self.budget.tokens, *lengths))
            cache = self._prefix(block.groups[0].ids[: block.prefix], room)

        def read(batch: list[int]) -> tuple[int, dict[int, RowReply]]:
            part = Block(block.prefix, [block.groups[index] for index in batch])
            if ragged:
                trees = part.trees_apart(paths)
                states = forward_ragged(self.lm, [tree.row for tree in trees], cache)
                starts = [0, *accumulate(len(tree.ids) for tree in trees)][:-1]
            else:
                # After a prefix all groups are in one row: each further row would need a copy of the prefix.
                trees = part.trees(paths, in_one_row=cache is not None)
                states = forward_rows(self.lm, [tree.row for tree in trees], cache)
                starts = [number * states.shape[1] for number in range(len(trees))]
            at = {
                index: [start + place for place in places]
                for start, tree in zip(starts, trees, strict=True)
                for index, places in tree.at.items()
            }
            return states.shape[0] * states.shape[1], self._replies(at, states.flatten(0, 1), rows)

        most = max(ROW_AFTER_A_PREFIX, self.budget.tokens // 4) if block.prefix and not ragged else None
        yield from self.budget.spend(lengths, read, most, padded=not ragged)

    def _ragged(self, longest: int) -> bool:
        """Whether rows of at most ``longest`` tokens are processed without padding: each must fit a sliding window."""
        supports = self.lm.supports
        return supports.ragged.able and (supports.sliding_window is None or longest <= supports.sliding_window)

    def _replies(
        self, at: Mapping[int, list[int]], flat: torch.Tensor, rows: Sequence[TokenRow]
    ) -> dict[int, RowReply]:
        """The replies to some rows, by index; ``at`` has the places of their states in ``flat`` [tokens, hidden]."""
        import torch

        scored = [index for index in at if rows[index].module is None]
        replies: dict[int, RowReply] = {}
        if scored:
            head = self.lm.causal_lm.get_output_embeddings()
            targets = [token for index in scored for token in rows[index].ids[rows[index].start :]]
            logprobs, greedy = target_logprobs(head, flat, [place for index in scored for place in at[index]], targets)
            sizes = [len(at[index]) for index in scored]
            parts = zip(scored, torch.split(logprobs, sizes), torch.split(greedy, sizes), strict=True)
            for index, values, likeliest in parts:
                replies[index] = RowReply(float(values.sum()), bool(likeliest.all()))
            misses = first_misses([rows[index] for index in scored], greedy, sizes)
            if misses:
                places = [at[scored[number]][miss] for number, (_, miss) in misses.items()]
                best = head(flat[places]).argmax(-1).tolist()
                for (number, (_, miss)), token in zip(misses.items(), best, strict=True):
                    replies[scored[number]] = replace(replies[scored[number]], miss=(miss, token))
        for name in {module for index in at if (module := rows[index].module) is not None}:
            chosen = [index for index in at if rows[index].module == name]
            states = flat[[place for index in chosen for place in at[index]]]
            outputs = self._module_replies(name, states, [rows[index] for index in chosen])
            replies.update(zip(chosen, outputs, strict=True))
        return replies

    def _write(
        self, requests: Mapping[int, Generate], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The generated text for each request; texts of similar length are generated together."""
        if not self.lm.supports.left_padding:
            return super()._write(requests, advance)
        ends = end_tokens(self.lm)
        indices, texts, apart = [], [], {}
        for index, request in requests.items():
            if request.beams == 1:
                with shown_in_errors(request):
                    text = Text(self.lm, request, ends)
                if self.lm.keeps_rope(len(text.ids) + request.max_tokens):
                    texts.append(text)
                    indices.append(index)
                    continue
            apart[index] = request
        written = super()._write(apart, advance)
        shared, cache = self._common_prompt(texts)
        lengths = [len(text.ids) - shared + text.request.max_tokens for text in texts]
        places = dict(zip(texts, indices, strict=True))
        finished: dict[Text, GenerateReply] = {}

        def write(batch: list[int]) -> tuple[int, None]:
            unfinished = [texts[place] for place in batch if texts[place] not in finished]
            for text in unfinished:
                text.begin()
            if advance:
                advance(0, 0)  # what comes before, such as encoding texts, takes no time from reading prompts
            for text in write_together(self.lm, unfinished, shared, cache, self.budget.tokens, advance):
                finished[text] = text.reply()
                report_finished(advance, {places[text]: finished[text]})
                self.asked += len(text.ids) + len(text.tokens)
                self.budget.add(len(text.ids) - shared + len(text.tokens))
                if advance:
                    advance(1, 1)  # the tokens before the last one were reported as they were written
            return len(batch) * max(lengths[place] for place in batch), None

        budget = TokenBudget(self.tokens_to_write, str(self.lm.device))
        for _ in budget.spend(lengths, write):
            pass
        self.budget.halved += budget.halved
        return written | {index: finished[text] for index, text in zip(indices, texts, strict=True)}

    def _common_prompt(self, texts: Sequence[Text]) -> tuple[int, Any]:
        """The length of the prompts' common prefix, and its keys and values; (0, None) if sharing does not pay."""
        if len(texts) < 2 or not prefix_fits(self.lm):
            return 0, None
        common = common_beginning([text.ids for text in texts])
        common = min(common, *(len(text.ids) - 1 for text in texts))
        if not worth_reading_once(common, len(texts)):
            return 0, None
        return common, self._prefix(texts[0].ids[:common], common)

    def _prefix(self, ids: Sequence[int], room: int) -> Any:
        """The keys and values of a common prefix, in a cache with room for ``room`` tokens in all."""
        return self.budget.read_alone(len(ids), lambda: compute_prefix(self.lm, ids, room))


def engine_for(
    lm: CausalLM,
    modules: nn.ModuleDict | None = None,
    tokens_per_batch: int | None = None,
    sharing: bool = True,
) -> LocalEngine:
    """The fast engine if the model supports any of its methods and ``sharing`` is True; else the plain engine."""
    supported = lm.supports.sharing or lm.supports.left_padding
    return (SharedEngine if sharing and supported else LocalEngine)(lm, modules, tokens_per_batch)


def write_together(
    lm: CausalLM,
    texts: Sequence[Text],
    shared: int,
    cache: Any,
    at_once: int,
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[Text]:
    """Generate all texts together, token by token; yield each text when it is finished.

    shared, cache: the length of the common prefix of all prompts, and its keys and values; at_once: the number of
    prompt tokens that are processed together; advance: called with 0 and the number of unfinished texts.
    """
    room = max(len(text.ids) for text in texts) + max(text.request.max_tokens for text in texts)
    batch = PaddedBatch(lm, [text.ids for text in texts], room, shared, cache, at_once)
    if isinstance(advance, WatchesPrompts):
        advance.prompts_read(sum(len(text.ids) for text in texts))
    while texts:
        finished = [text.take(token) for text, token in zip(texts, next_tokens(batch.logits), strict=True)]
        yield from (text for text, done in zip(texts, finished, strict=True) if done)
        rows = [row for row, done in enumerate(finished) if not done]
        texts = [texts[row] for row in rows]
        if texts:
            if advance:
                advance(0, len(texts))
            if len(rows) < len(finished):
                batch.keep(rows)
            batch.go_on([text.tokens[-1] for text in texts])
