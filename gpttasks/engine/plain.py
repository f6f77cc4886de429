"""The plain engine: one request one row (of a long text several). Slow and simple, it is what every faster way is
proved equal to.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, RunFailed
from ..example import Prompt, prompt_text
from ..requests import (
    NOTHING_CUT,
    Cut,
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    Readout,
    ReadoutReply,
    Reply,
    Request,
    Rolling,
    RollingReply,
)
from ..tokens.join import join, place_passage, windows
from .batches import TokenBudget
from .generation import generate

if TYPE_CHECKING:
    from torch import nn

    from ..model.causal_lm import CausalLM
    from ..model.states import Forward

REQUESTS_AT_ONCE = 4096
"""Requests whose token ids are held in memory together."""


@dataclass(frozen=True)
class Row:
    """A row of token ids for a request: the tokens from ``start`` on are scored, or ``module`` reads the states at the
    tokens ``at``.

    family:
        the same for rows that begin alike, as the continuations of one prompt do; None for a window of a long text.
    """

    request: int
    ids: Sequence[int]
    start: int
    cut: Cut = NOTHING_CUT
    module: str | None = None
    at: tuple[int, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    family: Prompt | None = None


@dataclass(frozen=True)
class RowReply:
    """What a forward pass said of one row."""

    logprob: float = 0.0
    greedy: bool = True
    values: tuple[float, ...] = ()


class LocalEngine:
    """Answers requests with a local backbone and the head's modules, in batches of similar length.

    budget:
        how many tokens a batch may hold: ``tokens_per_batch``, or found by measuring.
    asked:
        the tokens of all rows that were asked for, as if nothing were shared.
    """

    def __init__(
        self, backbone: CausalLM, modules: nn.ModuleDict | None = None, tokens_per_batch: int | None = None
    ) -> None:
        self.backbone = backbone
        self.modules = modules
        self.budget = TokenBudget(tokens_per_batch, str(backbone.device))
        self.asked = 0

    def work(self) -> dict[str, Any]:
        """What was done so far: tokens asked for and read, the fraction of padding, the budget of a batch."""
        return {
            "engine": "shared" if type(self) is not LocalEngine else "plain",
            "tokens_asked": self.asked,
            "tokens_read": self.budget.real,
            "padding": round(self.budget.padding, 4),
            "tokens_per_batch": self.budget.tokens,
            "out_of_memory": self.budget.halved,
        }

    def reset_work(self) -> None:
        """Count the work from zero again."""
        self.asked = 0
        self.budget.reset_counts()

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises RunFailed if a log-probability is not a finite number.

        Some thousands are tokenised and answered at a time: the first replies come soon, and memory stays bounded.
        """
        return [
            reply
            for first in range(0, len(requests), REQUESTS_AT_ONCE)
            for reply in self._answer_some(requests[first : first + REQUESTS_AT_ONCE], advance)
        ]

    def _answer_some(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None) -> list[Reply]:
        import torch

        written = {index: request for index, request in enumerate(requests) if isinstance(request, Generate)}
        rows: list[Row] = []
        for index, request in enumerate(requests):
            if index not in written:
                with shown_in_errors(request):
                    rows += self._rows(index, request)
        self.asked += sum(len(row.ids) for row in rows)
        rows_left = Counter(row.request for row in rows)
        if advance:
            advance(len(requests) - len(rows_left) - len(written), 0)  # a text without tokens to predict has no rows

        def report(done: Sequence[int]) -> None:
            if advance:
                rows_left.subtract(rows[index].request for index in done)
                whole = {rows[index].request for index in done if not rows_left[rows[index].request]}
                advance(len(whole), sum(len(rows[index].ids) for index in done))

        media = self.backbone.media.encoder.modules() if self.backbone.media else None
        with torch.inference_mode(), _evaluating(self.backbone.model, self.modules, media):
            replies = self._read_rows(rows, report)
            texts = self._write(written, advance)
        return self._gather(requests, rows, replies, texts)

    def _read_rows(self, rows: Sequence[Row], report: Callable[[Sequence[int]], None]) -> list[RowReply]:
        """The reply to each row; ``report`` is told the indices of those that are done."""
        replies = [RowReply()] * len(rows)

        def read(batch: list[int]) -> tuple[int, tuple[list[int], list[RowReply]]]:
            outputs = self.backbone.forward([rows[index].ids for index in batch])
            return outputs.ids.numel(), (batch, self._read(outputs, [rows[index] for index in batch]))

        for batch, read_out in self.budget.spend([len(row.ids) for row in rows], read):
            for index, reply in zip(batch, read_out, strict=True):
                replies[index] = reply
            report(batch)
        return replies

    def _write(
        self, requests: Mapping[int, Generate], advance: Callable[[int, int], None] | None
    ) -> dict[int, GenerateReply]:
        """The texts that are asked for, one after another."""
        written = {}
        for index, request in requests.items():
            with shown_in_errors(request):
                written[index] = generate(self.backbone, request)
            if advance:
                advance(1, written[index].tokens)
        return written

    def _rows(self, index: int, request: Request) -> list[Row]:
        tokenizer, context = self.backbone.tokenizer, self.backbone.context
        if isinstance(request, LogLikelihood):
            joined = join(tokenizer, request.prompt, request.continuation, context, request.beside)
            return [Row(index, joined.ids, joined.boundary, joined.cut, family=request.prompt)]
        if isinstance(request, Readout) and request.at == "passage":
            placed = place_passage(tokenizer, request.prompt, context)
            at = (*placed.tokens, len(placed.ids) - 1)
            end = len(placed.ids)
            return [Row(index, placed.ids, end, NOTHING_CUT, request.module, at, placed.places, request.prompt)]
        if isinstance(request, Readout):
            joined = join(tokenizer, request.prompt, "", context)
            last = len(joined.ids)
            return [Row(index, joined.ids, last, joined.cut, request.module, (last - 1,), family=request.prompt)]
        if isinstance(request, Rolling):
            if any(part.media for part in request.prompt):
                raise DataError(
                    "audio and images have no likelihood: a text alone can be scored", hint="use head: choice"
                )
            text = prompt_text(request.prompt)
            found = windows(tokenizer, text, context, stride=request.stride, fill_last=True)
            return [Row(index, window, start) for window, start in found]
        raise TypeError(f"the local engine has no answer to a {type(request).__name__}")

    def _read(self, outputs: Forward, rows: list[Row]) -> list[RowReply]:
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
        for name in {row.module for row in rows if row.module is not None}:
            assert self.modules is not None
            places = [place for place, row in enumerate(rows) if row.module == name]
            states = outputs.states_at([rows[place].at if place in places else () for place in range(len(rows))])
            values = self.modules[name](states.float()).float().cpu()
            for place, part in zip(places, torch.split(values, [len(rows[p].at) for p in places]), strict=True):
                replies[place] = RowReply(values=tuple(part.reshape(-1).tolist()))
        return replies

    def _gather(
        self, requests: Sequence[Request], rows: list[Row], replies: list[RowReply], texts: Mapping[int, Reply]
    ) -> list[Reply]:
        """One reply a request, from the replies to its rows (a long text has several), or the text it asked for."""
        by_request: list[list[tuple[Row, RowReply]]] = [[] for _ in requests]
        for row, reply in zip(rows, replies, strict=True):
            if not all(math.isfinite(value) for value in (reply.logprob, *reply.values)):
                raise RunFailed(
                    f"the model answered with a number that is not finite: {reply}",
                    hint=f"its prompt ends {prompt_text(requests[row.request].prompt)[-80:]!r}; try precision fp32",
                )
            by_request[row.request].append((row, reply))
        return [
            texts[index] if index in texts else _reply(request, by_request[index])
            for index, request in enumerate(requests)
        ]


@contextmanager
def shown_in_errors(request: Request) -> Iterator[None]:
    """A text that cannot be joined is shown in the error."""
    try:
        yield
    except DataError as error:
        begins = prompt_text(request.prompt)[:80]
        raise DataError(
            replace(error.problems[0], message=f"{error.problems[0].message}; it begins {begins!r}")
        ) from error


@contextmanager
def _evaluating(*modules: nn.Module | None) -> Iterator[None]:
    """Without dropout; afterwards, and after an error, each module is in training or not as it was."""
    were = [(module, module.training) for module in modules if module is not None]
    for module, _ in were:
        module.eval()
    try:
        yield
    finally:
        for module, was_training in were:
            module.train(was_training)


def _reply(request: Request, answered: list[tuple[Row, RowReply]]) -> Reply:
    if isinstance(request, Rolling):
        tokens = sum(len(row.ids) - row.start for row, _ in answered)
        size = len(prompt_text(request.prompt).encode("utf-8", "surrogatepass"))
        return RollingReply(sum(reply.logprob for _, reply in answered), tokens, size)
    ((row, reply),) = answered
    if isinstance(request, Readout):
        return ReadoutReply(reply.values, row.cut, row.places)
    return LogLikelihoodReply(reply.logprob, len(row.ids) - row.start, reply.greedy, row.cut)
