"""``span``: start and end pointers into the prompt's passage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..answer import Answer
from ..backbones.base import Backbone
from ..component import Options
from ..errors import BackboneError, DataError, TooLong
from ..example import Example, Prompt
from ..item import Item, rows_of_items
from ..metrics.text import TokenF1
from ..requests import Readout, ReadoutReply, Reply, Request
from ..tokens.marked_text import text_of
from ..tokens.words import splits_word, whole_words
from .base import Head

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from ..model.states import Forward
    from ..tokens.tokenizer import TextTokenizer

MODULE = "span"
SLACK = 8
"""Tokens left free in a window: words at its ends may become other tokens there than in the whole passage."""


class SpanOptions(Options):
    """How long passages are read, and which spans count."""

    overlap: int = Field(
        64,
        ge=0,
        le=1_000_000,
        description="the number of tokens that a window of a long passage shares with the previous one",
    )
    max_tokens: int = Field(30, ge=1, le=1_000_000, description="the maximum number of tokens of an answer")
    no_answer: bool = Field(
        False, description="whether a question may have no answer; the threshold is tuned on the validation examples"
    )
    whole_words: bool = Field(
        True,
        description="whether answers consist of whole words, in scripts with spaces between words; false allows parts "
        "of words",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the hidden states before the layer, in training. Its random numbers depend on the "
        "micro-batches, so runtime.tokens_per_batch then affects the result",
    )


@dataclass(frozen=True)
class Window:
    """A part of the passage in its prompt; ``start`` is its first character in the whole passage."""

    prompt: Prompt
    start: int
    text: str


@dataclass(frozen=True)
class SpanItem(Item):
    """A window to train on, and which of the tokens that its row reads are the right start and end.

    The row's last token, which is read after those of the passage, means "not here".
    """

    gold: tuple[int, int] = (0, 0)


class Span(Head):
    """Points at the first and the last token of the answer, after Devlin et al. 2019, sections 4.2 and 4.3, on a causal
    model: the question must come before the passage, since no token sees what comes after it.

    A passage that is too long is read in overlapping windows. The row's last token means "the answer is not in
    this window", and a span is ranked by how far its two outputs exceed those of that token. The answer's value is
    (first character, character after the last) in the passage, or None where there is none.

    Unless ``whole_words`` is false, only spans of whole words count, in training and in answers. Otherwise a model that
    chooses the wrong token of a word would answer with a part of the word.
    """

    name = "span"
    Options = SpanOptions
    trains_on = frozenset({"prompt", "references"})
    gives = "span"
    asks = frozenset({Readout})
    needs_training = True
    prompted = False

    options: SpanOptions
    layers: nn.ModuleDict

    def check(self, example: Example) -> None:
        """Raises DataError unless the prompt has one passage."""
        _passage_index(example)

    def check_to_train(self, example: Example) -> None:
        """Raises DataError for an answer that is not in the passage."""
        _gold(example)

    def bind(self, backbone: Backbone, example: Example) -> None:
        """Make the layer: two outputs a token, its fitness as a start and as an end."""
        import torch

        super().bind(backbone, example)
        if backbone.lm is None:
            raise BackboneError(f"head 'span' reads hidden states, and {backbone.name!r} gives none")
        layer = torch.nn.Linear(backbone.lm.hidden_size, 2)
        torch.nn.init.normal_(layer.weight, std=0.02)
        torch.nn.init.zeros_(layer.bias)
        self.layers = torch.nn.ModuleDict({MODULE: layer})

    def modules(self) -> nn.ModuleDict:
        """The linear layer, as ``span``."""
        return self.layers

    @property
    def tunes(self) -> bool:
        """Only the threshold for no answer is tuned."""
        return self.options.no_answer

    def windows(self, example: Example) -> list[Window]:
        """The passage in windows that fit the context with the rest of the prompt.

        Raises DataError if the prompt has no passage or several, and TooLong if it leaves no room for one.
        """
        index = _passage_index(example)
        tokenizer: TextTokenizer = self.backbone.tokenizer  # type: ignore[assignment]
        passage = example.prompt[index].text
        offsets = text_of((example.prompt[index],)).offsets(tokenizer)
        around = example.prompt[:index] + example.prompt[index + 1 :]
        taken = len(tokenizer.starts_with) + len(text_of(around).ids(tokenizer))
        room = self.backbone.context - taken - SLACK
        if len(offsets) <= room:
            return [Window(example.prompt, 0, passage)]
        if room <= self.options.overlap:
            raise TooLong(
                f"example {example.id}: the question leaves {max(0, room)} tokens of {self.backbone.context} for a "
                f"window of its passage, expected more than the overlap of {self.options.overlap}",
                hint="lower head.overlap, or use a larger context",
            )
        found = []
        for first in range(0, len(offsets) - self.options.overlap, room - self.options.overlap):
            last = min(first + room, len(offsets)) - 1
            start, end = offsets[first][0], offsets[last][1]
            part = example.prompt[index].piece(start, end)
            found.append(Window((*example.prompt[:index], part, *example.prompt[index + 1 :]), start, part.text))
        return found

    def items(self, example: Example) -> Iterator[Item]:
        """One a window; in windows without the whole answer, the last token is the right start and end."""
        answer = _gold(example)
        if answer is not None and self.options.whole_words:
            answer = whole_words(example.prompt[_passage_index(example)].text, *answer)
        for window in self.windows(example):
            (row,) = self.rows(Readout(window.prompt, MODULE, "passage"))
            gold = (len(row.places), len(row.places))
            if answer is not None:
                start, end = answer[0] - window.start, answer[1] - window.start
                inside = [place for place, (first, last) in enumerate(row.places) if first < end and last > start]
                if start >= 0 and end <= len(window.text) and inside:
                    gold = (inside[0], inside[-1])
            yield SpanItem((row,), {"span": 1}, gold=gold)

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """The mean of the cross-entropies of start and end, over the passage's tokens and the last one."""
        import torch

        spans = [item for item in items if isinstance(item, SpanItem)]
        at = [row.at for row in rows_of_items(spans)]
        states = outputs.states_at(at).float()
        states = torch.nn.functional.dropout(states, self.options.dropout, self.layers.training)
        total = states.new_zeros(())
        for item, logits in zip(spans, torch.split(self.layers[MODULE](states), [*map(len, at)]), strict=True):
            gold = torch.tensor(item.gold, device=logits.device)
            total = total + torch.nn.functional.cross_entropy(logits.T, gold, reduction="sum") / 2
        return {"span": total}

    def requests(self, example: Example) -> list[Request]:
        """One readout a window."""
        return [Readout(window.prompt, MODULE, "passage") for window in self.windows(example)]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The best span of all windows, or none where ``no_answer`` allows it and no span reaches the threshold."""
        given = self._always(example, replies)
        threshold = float(self.tuned.get("no_answer_threshold", 0.0))
        if self.options.no_answer and given.detail["margin"] < threshold:
            return Answer(None, "", detail=given.detail)
        return given

    def _always(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The best span of all windows, however little it exceeds "not here"; none where all are blank."""
        best, value = self._best(example, replies, self.options.whole_words)
        if best is None and self.options.whole_words:  # every word has more than max_tokens
            best, value = self._best(example, replies, False)
        detail = {"margin": value, "windows": len(replies)}
        if best is None:
            return Answer(None, "", detail=detail)
        passage = example.prompt[_passage_index(example)].text
        return Answer(list(best), passage[best[0] : best[1]], detail=detail)

    def _best(self, example: Example, replies: Sequence[Reply], words: bool) -> tuple[tuple[int, int] | None, float]:
        """The best span in characters of the passage, and its margin over "not here"; None where all are blank.

        ``words``: leave out spans that split a word.
        """
        best: tuple[int, int] | None = None
        margin = -1e30  # finite: it is written down as JSON
        passage = example.prompt[_passage_index(example)].text
        for window, reply in zip(self.windows(example), replies, strict=True):
            assert isinstance(reply, ReadoutReply)
            borders = word_borders(passage, window, reply.places) if words else None
            for value, first, last in best_spans(reply, self.options.max_tokens, borders):
                span = _trimmed(window.text, reply.places[first][0], reply.places[last][1])
                if span is not None:
                    if value > margin:
                        best, margin = (span[0] + window.start, span[1] + window.start), value
                    break
        return best, margin

    def tune(self, examples: Sequence[Example], replies: Sequence[Sequence[Reply]]) -> dict[str, Any]:
        """The threshold with the highest token F1 on the validation examples; margins below it mean no answer."""
        f1 = TokenF1(TokenF1.Options(normalisation="squad"))  # as the answers of such tasks are scored
        margins, gains = [], []
        for example, given in zip(examples, replies, strict=True):
            answered = self._always(example, given)
            with_answer, without = (f1.sample(example, one)[0] for one in (answered, Answer(None, "")))
            margins.append(float(answered.detail["margin"]))
            gains.append(without - with_answer)
        order = sorted(zip(margins, gains, strict=True))
        threshold, gained, best = min(margins, default=0.0), 0.0, 0.0
        for place, (margin, gain) in enumerate(order):
            gained += gain
            after = order[place + 1][0] if place + 1 < len(order) else margin + 1
            if gained > best and after > margin:  # all with a margin up to this one are better left without an answer
                best, threshold = gained, (margin + after) / 2
        return {"no_answer_threshold": threshold}


def word_borders(
    passage: str, window: Window, places: Sequence[tuple[int, int]]
) -> tuple[Sequence[bool], Sequence[bool]]:
    """For each token of a window, whether an answer that begins, or ends, with it splits no word of the passage."""
    begins, ends = [], []
    for start, end in places:
        inner = window.text[start:end]
        first, after = start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
        begins.append(not splits_word(passage, window.start + first))
        ends.append(not splits_word(passage, window.start + after))
    return begins, ends


def best_spans(
    reply: ReadoutReply, longest: int, borders: tuple[Sequence[bool], Sequence[bool]] | None = None
) -> Iterator[tuple[float, int, int]]:
    """(margin over "not here", first token, last token), the best first; at most ``longest`` tokens each.

    ``borders``: which tokens a span may begin with, and which it may end with.
    """
    import numpy as np

    outputs = np.array(reply.values, dtype=np.float64).reshape(-1, 2)
    starts, ends = outputs[:-1, 0], outputs[:-1, 1]
    values: np.ndarray = starts[:, None] + ends[None, :] - outputs[-1].sum()
    first, last = np.indices(values.shape)
    values[(last < first) | (last >= first + longest)] = -np.inf
    if borders is not None:
        begins, ends = (np.array(border, dtype=bool) for border in borders)
        values[~(begins[:, None] & ends[None, :])] = -np.inf
    if not len(starts):
        return
    yield from _spans(values, [int(values.argmax())])  # rarely is more than this one needed
    yield from _spans(values, np.argsort(-values, axis=None, kind="stable")[1:])


def _spans(values: np.ndarray, places: Iterable[int]) -> Iterator[tuple[float, int, int]]:
    for place in places:
        first, last = divmod(int(place), len(values))
        value = float(values[first, last])
        if not math.isfinite(value):
            return
        yield value, first, last


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without white space at its ends; None if nothing is left."""
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    inner = inner.strip()
    return (start, start + len(inner)) if inner else None


def _passage_index(example: Example) -> int:
    found = [index for index, part in enumerate(example.prompt) if part.kind == "passage"]
    if len(found) != 1:
        raise DataError(
            f"example {example.id}: the prompt has {len(found)} passages, and head 'span' points into one",
            hint="mark one column as the passage: {{ context | passage }}",
        )
    return found[0]


def _gold(example: Example) -> tuple[int, int] | None:
    """The place of the first reference in the passage, in characters; None for an unanswerable example."""
    text = example.references[0] if example.references else ""
    if not text:
        return None
    passage = example.prompt[_passage_index(example)].text
    start = passage.find(text) if example.answer_start is None else example.answer_start
    if start < 0 or passage[start : start + len(text)] != text:
        raise DataError(f"example {example.id}: the answer {text!r} is not in the passage at {start}")
    return start, start + len(text)
