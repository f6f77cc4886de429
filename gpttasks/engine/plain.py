"""The plain engine: one row per request, or one per window of a long text. It is slow and simple; every fast path is
tested against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, RunFailed
from ..example import prompt_text
from ..model.states import pooled
from ..requests import (
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    PassedOn,
    Readout,
    ReadoutReply,
    Reply,
    Request,
    Rolling,
    RollingReply,
    report_finished,
)
from ..tokens.rows import TokenRow, rows_of_request
from .batches import TokenBudget
from .generation import generate

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.causal_lm import CausalLM
    from ..model.states import Forward
    from ..tokens.tokenizer import TextTokenizer

REQUESTS_AT_ONCE = 4096
"""The number of requests whose token ids are in memory at the same time."""


@dataclass(frozen=True)
class RowReply:
    """What a forward pass gives for one row.

    miss:
        for a row that asks what the model preferred: the index of the first predicted token that is not the most likely
        one, and the id of the most likely one; None without such a token.
    """

    logprob: float = 0.0
    greedy: bool = True
    values: tuple[float, ...] = ()
    miss: tuple[int, int] | None = None


class LocalEngine:
    """Answers requests with a model in memory and the head's modules, in batches of rows of similar length.

    budget:
        how many tokens a batch may hold: ``tokens_per_batch``, or a number found by measuring.
    asked:
        the number of tokens requested: those of all rows, as if nothing were shared.
    """

    def __init__(self, lm: CausalLM, modules: nn.ModuleDict | None = None, tokens_per_batch: int | None = None) -> None:
        self.lm = lm
        self.modules = modules
        self.budget = TokenBudget(tokens_per_batch, str(lm.device))
        self.asked = 0

    def work(self) -> dict[str, Any]:
        """The work so far: the tokens requested and processed, the fraction of padding, the budget of a batch."""
        return {
            "engine": "shared" if type(self) is not LocalEngine else "plain",
            "tokens_asked": self.asked,
            "tokens_read": self.budget.real,
            "padding": round(self.budget.padding, 4),
            "tokens_per_batch": self.budget.tokens,
            "out_of_memory": self.budget.halved,
        }

    def reset_work(self) -> None:
        """Set the counts of ``work`` to zero."""
        self.asked = 0
        self.budget.reset_counts()

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises RunFailed if a log-probability is not a finite number.

        Requests are tokenised and answered some thousands at a time: the first replies come soon, and memory stays
        bounded.
        """
        replies: list[Reply] = []
        for first in range(0, len(requests), REQUESTS_AT_ONCE):
            report = None if advance is None else _From(first, advance)
            replies += self._answer_some(requests[first : first + REQUESTS_AT_ONCE], report)
        return replies

    def _answer_some(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None) -> list[Reply]:
        import torch

        to_write = {index: request for index, request in enumerate(requests) if isinstance(request, Generate)}
        rows: list[TokenRow] = []
        owners: list[int] = []  # the index of each row's request
        for index, request in enumerate(requests):
            if index not in to_write:
                with shown_in_errors(request):
                    rows += rows_of_request(self.lm.tokenizer, request, self.lm.context)
                owners += [index] * (len(rows) - len(owners))
        self.asked += sum(len(row.ids) for row in rows)
        replies = _RepliesFromRows(requests, rows, owners, self.lm.tokenizer)
        if advance:  # a text without tokens to predict has no rows
            advance(len(requests) - len(replies.rows_left) - len(to_write), 0)

        def report(done: Mapping[int, RowReply]) -> None:
            finished = replies.take(done)
            report_finished(advance, finished)
            if advance:
                advance(len(finished), sum(len(rows[index].ids) for index in done))

        media = self.lm.media.encoder.modules() if self.lm.media else None
        with torch.inference_mode(), _evaluating(self.lm.model, self.modules, media):
            self._read_rows(rows, report)
            texts = self._write(to_write, advance)
        return [texts[index] if index in texts else replies.of(index) for index in range(len(requests))]

    def _read_rows(self, rows: Sequence[TokenRow], report: Callable[[Mapping[int, RowReply]], None]) -> None:
        """Call ``report`` with the replies to the rows, by index, a batch at a time; each row is reported once."""

        def read(batch: list[int]) -> tuple[int, tuple[list[int], list[RowReply]]]:
            batch_rows = [rows[index] for index in batch]
            outputs = self.lm.forward([row.ids for row in batch_rows], {row.layer for row in batch_rows})
            return outputs.ids.numel(), (batch, self._read(outputs, batch_rows))

        for batch, batch_replies in self.budget.spend([len(row.ids) for row in rows], read):
            report(dict(zip(batch, batch_replies, strict=True)))

    def _write(
        self, requests: Mapping[int, Generate], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The generated text for each request, one after another."""
        texts: dict[int, GenerateReply] = {}
        for index, request in requests.items():
            with shown_in_errors(request):
                texts[index] = generate(self.lm, request)
            report_finished(advance, {index: texts[index]})
            if advance:
                advance(1, texts[index].tokens)
        return texts

    def _read(self, outputs: Forward, rows: list[TokenRow]) -> list[RowReply]:
        """The replies to one batch, with one transfer from the device for each kind of request in it."""
        import torch

        replies = [RowReply()] * len(rows)
        scored = [place for place, row in enumerate(rows) if row.module is None]
        if scored:
            starts = [row.start if row.module is None else len(row.ids) for row in rows]
            targets = outputs.targets(starts)
            logprobs, greedy = targets.logprobs().cpu(), targets.greedy().cpu()
            parts = zip(torch.split(logprobs, targets.counts), torch.split(greedy, targets.counts), strict=True)
            for place, (values, likeliest) in enumerate(parts):
                if rows[place].module is None:
                    replies[place] = RowReply(float(values.double().sum()), bool(likeliest.all()))
            misses = first_misses(rows, greedy, targets.counts)
            best = targets.logits[[index for index, _ in misses.values()]].argmax(-1).tolist() if misses else ()
            for (place, (_, miss)), token in zip(misses.items(), best, strict=True):
                replies[place] = replace(replies[place], miss=(miss, token))
        for name, layer in {(row.module, row.layer) for row in rows if row.module is not None}:
            places = [place for place, row in enumerate(rows) if (row.module, row.layer) == (name, layer)]
            chosen = set(places)
            states = outputs.states_at([row.at if place in chosen else () for place, row in enumerate(rows)], layer)
            for place, reply in zip(places, self._module_replies(name, states, [rows[p] for p in places]), strict=True):
                replies[place] = reply
        return replies

    def _module_replies(self, name: str, states: torch.Tensor, rows: Sequence[TokenRow]) -> list[RowReply]:
        """The outputs of a module of the head for the states [n, hidden] at the rows' indices, row after row."""
        import torch

        assert self.modules is not None
        parts = torch.split(states, [len(row.at) for row in rows])
        vectors = torch.cat([pooled(part, row) for part, row in zip(parts, rows, strict=True)])
        values = self.modules[name](vectors.float()).float().cpu()
        return [
            RowReply(values=tuple(part.reshape(-1).tolist()))
            for part in torch.split(values, [row.vectors for row in rows])
        ]


@contextmanager
def shown_in_errors(request: Request) -> Iterator[None]:
    """Add the beginning of the request's prompt to a DataError."""
    try:
        yield
    except DataError as error:
        beginning = prompt_text(request.prompt)[:80]
        raise DataError(
            replace(error.problems[0], message=f"{error.problems[0].message}; the prompt begins {beginning!r}")
        ) from error


@contextmanager
def _evaluating(*modules: nn.Module | None) -> Iterator[None]:
    """Put the modules in eval mode, without dropout; at the end, also after an error, restore the mode of each."""
    modes = [(module, module.training) for module in modules if module is not None]
    for module, _ in modes:
        module.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.train(was_training)


def first_misses(rows: Sequence[TokenRow], greedy: torch.Tensor, counts: Sequence[int]) -> dict[int, tuple[int, int]]:
    """For each row that asks what the model preferred, the first predicted token that is not the most likely one.

    greedy: [n], bool, for the n predicted tokens of all rows; counts: their number in each row.

    Returns the token's index among the n tokens and in its row, by the index of the row.
    """
    misses, done = {}, 0
    for index, (row, count) in enumerate(zip(rows, counts, strict=True)):
        if row.preferred and not (likeliest := greedy[done : done + count]).all():
            miss = int(likeliest.int().argmin())
            misses[index] = (done + miss, miss)
        done += count
    return misses


class _From(PassedOn):
    """Reports the replies to the requests from ``first`` on, which an engine numbers from 0."""

    def __init__(self, first: int, advance: Callable[[int, int], None]) -> None:
        super().__init__(advance)
        self._first = first

    def finished(self, replies: Mapping[int, Reply]) -> None:
        """See :class:`gpttasks.requests.KeepsReplies`."""
        super().finished({self._first + index: reply for index, reply in replies.items()})


class _RepliesFromRows:
    """The replies to requests, each made when all of its rows were read.

    owners: the index of each row's request; rows_left: the number of rows that are not read yet, by request.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        rows: Sequence[TokenRow],
        owners: Sequence[int],
        tokenizer: TextTokenizer,
    ) -> None:
        self._requests, self._rows, self._owners, self._tokenizer = requests, rows, owners, tokenizer
        self._rows_of: dict[int, list[int]] = {}
        for row, owner in enumerate(owners):
            self._rows_of.setdefault(owner, []).append(row)
        self.rows_left = Counter(owners)
        self._read: dict[int, RowReply] = {}
        self._replies: dict[int, Reply] = {}

    def take(self, read: Mapping[int, RowReply]) -> dict[int, Reply]:
        """The replies that are complete with these rows. Raises RunFailed for numbers that are not finite."""
        for row, reply in read.items():
            if not all(math.isfinite(value) for value in (reply.logprob, *reply.values)):
                prompt = self._requests[self._owners[row]].prompt
                raise RunFailed(
                    f"the model gave a number that is not finite: {reply}",
                    hint=f"the prompt ends {prompt_text(prompt)[-80:]!r}; try precision fp32",
                )
            self.rows_left[self._owners[row]] -= 1
        self._read.update(read)
        finished = {owner for row in read if not self.rows_left[owner := self._owners[row]]}
        replies = {index: self._made(index) for index in finished}
        self._replies.update(replies)
        return replies

    def of(self, index: int) -> Reply:
        """The reply to a request, also to one without rows."""
        return self._replies[index] if index in self._replies else self._made(index)

    def _made(self, index: int) -> Reply:
        answered = [(self._rows[row], self._read.pop(row)) for row in self._rows_of.get(index, ())]
        return _REPLIES[type(self._requests[index])](answered, self._tokenizer)


def _log_likelihood_reply(answered: list[tuple[TokenRow, RowReply]], tokenizer: TextTokenizer) -> Reply:
    ((row, reply),) = answered
    preferred = None
    if row.preferred:
        predicted = list(row.ids[row.start :])
        ids = predicted if reply.miss is None else [*predicted[: reply.miss[0]], reply.miss[1]]
        preferred = tokenizer.decode(ids, with_special=True)
    return LogLikelihoodReply(reply.logprob, row.predicted, reply.greedy, row.cut, row.bytes, preferred)


def _readout_reply(answered: list[tuple[TokenRow, RowReply]], tokenizer: TextTokenizer) -> Reply:
    ((row, reply),) = answered
    return ReadoutReply(reply.values, row.cut, row.places)


def _rolling_reply(answered: list[tuple[TokenRow, RowReply]], tokenizer: TextTokenizer) -> Reply:
    tokens, size = (sum(getattr(row, name) for row, _ in answered) for name in ("predicted", "bytes"))
    return RollingReply(sum(reply.logprob for _, reply in answered), tokens, size)


_REPLIES: dict[type, Callable[[list[tuple[TokenRow, RowReply]], TextTokenizer], Reply]] = {
    LogLikelihood: _log_likelihood_reply,
    Readout: _readout_reply,
    Rolling: _rolling_reply,
}
