"""The one place where requests, items and texts become rows of token ids, for training and scoring alike."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import DataError, TooLong
from ..example import Prompt, Spans, as_prompt, prompt_text
from ..requests import NOTHING_CUT, Cut, Generate, LogLikelihood, Pooling, Readout, Request, Rolling
from .byte_counts import bytes_after, utf8_length
from .cut import fit, without_first_shots
from .kept_rows import COMPARED_BY_TEXT, KeptNumbers, KeptRows
from .marked_text import Beginning, MarkedText, beginning, begins_with, one_start, refuse_media, text_of
from .passage import place_passage, tokens_in_span
from .prefix import common_length
from .surplus import without_surplus
from .tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row of token ids, and the states that are needed.

    ids:
        no more than the context has room for; negative ids represent audio or images.
    start:
        the index of the first predicted token, at least 1; ``len(ids)`` if nothing is predicted.
    bytes:
        the number of UTF-8 bytes in the predicted text, from the boundary between prompt and answer on. The first
        window of a long text has those of the whole text.
    crosses:
        whether a token crosses the end of the prompt; the boundary is then before that token.
    module, at:
        the name of the head's module that reads states, and the indices of these states; None if tokens are predicted.
    layer, pooling, groups:
        see :class:`~gpttasks.Readout`. ``groups`` has, for each vector that the module reads, the indices in ``at`` of
        the tokens of one span or two; empty if the module reads each state separately.
    places:
        the place of each token of the passage in it, as (first character, character after the last).
    cut:
        what was cut from the prompt.
    preferred:
        whether the reply has to have the most likely token in the place of the first predicted one that is not.
    family:
        equal for rows that begin alike, such as the options of one example; None for a row that shares nothing.
    """

    ids: Sequence[int]
    start: int
    bytes: int = 0
    crosses: bool = False
    module: str | None = None
    at: tuple[int, ...] = ()
    layer: int = -1
    pooling: Pooling = "last"
    groups: tuple[tuple[tuple[int, ...], ...], ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    cut: Cut = NOTHING_CUT
    family: Hashable = None
    preferred: bool = False

    @property
    def reads(self) -> Sequence[int]:
        """The indices of the needed states: those that ``module`` reads, or one before each predicted token."""
        return self.at if self.module is not None else range(self.start - 1, len(self.ids) - 1)

    @property
    def fed(self) -> int:
        """The number of tokens that the model has to process, from the first on."""
        return max(self.at) + 1 if self.module is not None else len(self.ids) - 1

    @property
    def vectors(self) -> int:
        """The number of vectors that ``module`` reads."""
        return len(self.groups) or len(self.at)

    @property
    def predicted(self) -> int:
        """The number of predicted tokens."""
        return len(self.ids) - self.start


def rows_of_request(tokenizer: Tokenizer, request: Request, context: int) -> list[TokenRow]:
    """The rows of a request: one, or one per window of the text for a :class:`~gpttasks.Rolling` request.

    The row of a :class:`~gpttasks.Generate` request is the prompt, after which the text is generated. Raises TooLong
    for a text that does not fit the context, DataError for one that cannot be scored, and TypeError for a request of
    another class.
    """
    rows = _ROWS.get(type(request))
    if rows is None:
        raise TypeError(f"got {type(request).__name__}, expected {', '.join(kind.__name__ for kind in _ROWS)}")
    return rows(tokenizer, request, context)


def row_with_answer(
    tokenizer: Tokenizer, request: Generate, answer: str, context: int, *, special: Spans = ()
) -> TokenRow:
    """The row of a request with an answer and the end token, both of which are predicted.

    ``special`` are the spans of the answer in which special tokens are meant; see :class:`~gpttasks.Part`.

    The prompt has exactly the ids that ``rows_of_request`` gives; it is cut further only if the answer is longer than
    ``max_tokens``. Raises DataError if there is nothing to predict, and TooLong if the row does not fit the context.
    """
    end = () if tokenizer.end is None else (tokenizer.end,)
    room = request.max_tokens
    while True:
        text, cut = _text_to_continue(tokenizer, request, context, room)
        predicted = (*_ids_after(tokenizer, text, MarkedText(answer, special), request.keep_space), *end)
        if len(predicted) <= room:
            break
        room = len(predicted)  # more than max_tokens: cut the prompt further
    if not predicted:
        raise DataError("the answer is empty, and the tokenizer has no end token")
    ids = _prompt_ids(tokenizer, text, request.keep_space)
    return TokenRow([*ids, *predicted], len(ids), cut=cut)


def rows_of_text(
    tokenizer: Tokenizer,
    text: str | Prompt,
    context: int,
    *,
    end: bool = False,
    stride: int | None = None,
    fill_last: bool = False,
) -> Iterator[TokenRow]:
    """Windows of a text with at most ``context`` tokens each; every token is predicted in exactly one window.

    Raises DataError for a prompt with audio or images.

    end:
        whether the end token follows the text and is predicted.
    stride:
        the number of tokens that each window after the first predicts, preceded by as many as fit. None: a window
        predicts as many tokens as fit after the last token of the previous window.
    fill_last:
        whether the last window is filled with preceding tokens even without a stride.
    """
    prompt = as_prompt(text)
    refuse_media(prompt)
    start, prompt = one_start(tokenizer, prompt)
    own = text_of(prompt).ids(tokenizer)
    fallback = tokenizer.fallback_start
    if not tokenizer.starts_with and fallback is not None and own[:1] != [fallback]:
        start = [fallback]
    last_token = (tokenizer.end,) if end and tokenizer.end is not None else ()
    ids = array("i", (*start, *own, *last_token))
    new = min(stride or context - 1, context - 1)
    done = 1
    while done < len(ids):
        last = min(done + (new if done > 1 else context - 1), len(ids))
        first = max(0, last - context) if stride or (fill_last and last == len(ids)) else done - 1
        yield TokenRow(ids[first:last], done - first)
        done = last


def _rows_of_log_likelihood(tokenizer: Tokenizer, request: LogLikelihood, context: int) -> list[TokenRow]:
    def row_after(prompt: Prompt) -> TokenRow:
        if request.beside:
            rows = rows_beside(tokenizer, prompt, request.beside, request.special, context)
            if request.continuation in rows:
                return rows[request.continuation]
        compared = (request.continuation, *request.beside)
        return rows_beside(tokenizer, prompt, compared, request.special, context)[request.continuation]

    row = row_after(request.prompt)
    if request.prompts:
        row = _with_equal_shots(tokenizer, row, request, context, row_after)
    if request.without_prompt:
        start = list(tokenizer.starts_with) or [_fallback_start(tokenizer)]
        row = TokenRow([*start, *row.ids[row.start :]], len(start), row.bytes, row.crosses, family=())
    return [replace(row, preferred=True) if request.preferred else row]


_kept_shots = KeptNumbers()


def _with_equal_shots(
    tokenizer: Tokenizer, row: TokenRow, request: LogLikelihood, context: int, row_after: Callable[[Prompt], TokenRow]
) -> TokenRow:
    """The row of a request after as many shots as the longest of its prompts has room for."""

    def most_cut() -> int:
        if not any(part.kind == "shot" for prompt in request.prompts for part in prompt):
            return 0
        return max(row_after(prompt).cut.shots for prompt in request.prompts)

    compared = (request.continuation, request.beside, request.special, context)
    shots = _kept_shots((tokenizer, request.prompts), compared, most_cut)
    if row.cut.shots < shots:
        row = row_after(without_first_shots(request.prompt, shots))
        row = replace(row, cut=replace(row.cut, shots=shots))
    # The prompts begin with the same shots. Hashing a long list of them for each row takes the square of their number.
    return replace(row, family=request.prompts if len(request.prompts) <= COMPARED_BY_TEXT else id(request.prompts))


def _rows_compared(
    tokenizer: Tokenizer, prompt: Prompt, continuations: tuple[str, ...], special: Spans, context: int
) -> Mapping[str, TokenRow]:
    """The row of each continuation; all rows have the same prompt ids, up to the earliest of their boundaries."""
    kept, cut = without_surplus(tokenizer, prompt, context)
    while True:
        rows = _joined(tokenizer, kept, continuations, special, cut, prompt)
        longest = max(rows, key=lambda continuation: len(rows[continuation].ids))
        if len(rows[longest].ids) <= context:
            return rows
        # After the cut another row may be the longest, since tokens may cross the boundary.
        kept, more = _cut_for(tokenizer, kept, longest, special, context)
        cut = _both(cut, more)


def _both(cut: Cut, more: Cut) -> Cut:
    return Cut(cut.tokens + more.tokens, cut.shots + more.shots, cut.at_start + more.at_start)


def _cut_for(
    tokenizer: Tokenizer, prompt: Prompt, continuation: str, special: Spans, context: int
) -> tuple[Prompt, Cut]:
    def length(shortened: Prompt) -> int:
        return len(_joined(tokenizer, shortened, [continuation], special)[continuation].ids)

    return fit(tokenizer, prompt, context, length)


_kept_rows = KeptRows(_rows_compared)


def rows_beside(
    tokenizer: Tokenizer, prompt: Prompt, compared: tuple[str, ...], special: Spans, context: int
) -> Mapping[str, TokenRow]:
    """The row of each of the compared continuations; kept, unless the prompt has media, whose ids an encoder gives."""
    with_media = any(part.media for part in prompt)
    return (_rows_compared if with_media else _kept_rows)(tokenizer, prompt, compared, special, context)


def _joined(
    tokenizer: Tokenizer,
    prompt: Prompt,
    continuations: Sequence[str],
    special: Spans,
    cut: Cut = NOTHING_CUT,
    family: Prompt | None = None,
) -> dict[str, TokenRow]:
    """The row of each continuation after the whole prompt.

    The boundary is the end of the longest token prefix that the prompt without its trailing white space has in common
    with all rows; every continuation has at least one token.
    """
    start, marked = beginning(tokenizer, prompt)
    text, stripped = marked.text, marked.stripped()
    before = array("i", stripped.ids(tokenizer) if stripped.text else ())
    # A list of Python integers would take nine times the memory; there may be 100,000 continuations.
    whole = {one: array("i", marked.followed_by(one, special).ids(tokenizer)) for one in continuations}
    boundary = len(before)
    for continuation, ids in whole.items():
        if len(text) + len(continuation) == len(stripped.text):
            raise DataError("the continuation is empty", hint="use an answer with visible text")
        if not ids:
            raise DataError(f"the continuation {continuation!r} has no tokens", hint="use an answer with visible text")
        boundary = min(common_length(before, ids), len(ids) - 1, boundary)
    if not start and boundary == 0:
        start = [_fallback_start(tokenizer)]
    rest = bytes_after(tokenizer, stripped, before, boundary) + utf8_length(text[len(stripped.text) :])
    return {
        continuation: TokenRow(
            array("i", start) + ids,
            len(start) + boundary,
            rest + utf8_length(continuation),
            crosses=boundary < len(before),
            cut=cut,
            family=family,
        )
        for continuation, ids in whole.items()
    }


def _rows_of_generate(tokenizer: Tokenizer, request: Generate, context: int) -> list[TokenRow]:
    text, cut = _text_to_continue(tokenizer, request, context, request.max_tokens)
    ids = _prompt_ids(tokenizer, text, request.keep_space)
    return [TokenRow(ids, len(ids), cut=cut)]


def _rows_of_readout(tokenizer: Tokenizer, request: Readout, context: int) -> list[TokenRow]:
    if request.at != "last":
        return [_passage_row(tokenizer, request, context)]
    text, cut = _cut_text(tokenizer, request.prompt, context)
    ids = _prompt_ids(tokenizer, text)
    end = len(ids)
    return [
        TokenRow(ids, end, module=request.module, at=(end - 1,), layer=request.layer, cut=cut, family=request.prompt)
    ]


def _passage_row(tokenizer: Tokenizer, request: Readout, context: int) -> TokenRow:
    """The row of a prompt with one passage, which must fit; a token that crosses its border belongs to the passage."""
    prompt, surplus = without_surplus(tokenizer, request.prompt, context)
    ids, inside, places = place_passage(tokenizer, prompt)
    if len(ids) > context:
        tokens = len(ids) + surplus.tokens
        raise TooLong(f"the prompt has {tokens} tokens, but the context has room for {context}")
    row = TokenRow(
        ids,
        len(ids),
        module=request.module,
        at=(*inside, len(ids) - 1),
        layer=request.layer,
        pooling=request.pooling or "last",
        places=places,
        family=request.prompt,
    )
    if request.at == "passage":
        if request.pooling is None:
            return row
        if not inside:
            raise DataError("the passage has no tokens to pool")
        return replace(row, at=inside, groups=((tuple(range(len(inside))),),))
    length = next(len(part.text) for part in request.prompt if part.kind == "passage")
    groups = [[tokens_in_span(span, places, length) for span in spans] for spans in request.spans]
    at = sorted({token for group in groups for span in group for token in span})
    order = {token: index for index, token in enumerate(at)}
    return replace(
        row,
        at=tuple(inside[token] for token in at),
        groups=tuple(tuple(tuple(order[token] for token in span) for span in group) for group in groups),
        places=(),
    )


def _rows_of_rolling(tokenizer: Tokenizer, request: Rolling, context: int) -> list[TokenRow]:
    rows = list(rows_of_text(tokenizer, request.prompt, context, stride=request.stride, fill_last=True))
    if rows:
        rows[0] = replace(rows[0], bytes=utf8_length(prompt_text(request.prompt)) - _start_bytes(tokenizer, request))
    return rows


def _start_bytes(tokenizer: Tokenizer, request: Rolling) -> int:
    """The number of bytes with which a text spells the start token, which is not predicted."""
    start: str | None = getattr(tokenizer, "bos_text", None)
    return utf8_length(start) if start and request.prompt and begins_with(request.prompt[0], start) else 0


_ROWS: dict[type, Callable[[Tokenizer, Any, int], list[TokenRow]]] = {
    LogLikelihood: _rows_of_log_likelihood,
    Generate: _rows_of_generate,
    Readout: _rows_of_readout,
    Rolling: _rows_of_rolling,
}


def _text_to_continue(tokenizer: Tokenizer, request: Generate, context: int, room: int) -> tuple[Beginning, Cut]:
    """The prompt, cut so that ``room`` tokens fit after it. Raises DataError if that leaves no room for a prompt:
    TooLong, unless the reason is the request's ``max_tokens``, which affects all examples.
    """
    if room >= context:
        generated = room == request.max_tokens
        what = f"max_tokens is {room}" if generated else f"the answer has {room} tokens"
        raise (DataError if generated else TooLong)(
            f"{what}, which leaves no room for a prompt in a context of {context} tokens",
            hint="lower max_tokens" if generated else "use a larger context",
        )
    return _cut_text(tokenizer, request.prompt, context - room, request.keep_space)


def _cut_text(tokenizer: Tokenizer, prompt: Prompt, context: int, keep_space: bool = True) -> tuple[Beginning, Cut]:
    """The prompt, cut so that its ids fit ``context``, and what was cut."""

    def length(shortened: Prompt) -> int:
        return len(_prompt_ids(tokenizer, beginning(tokenizer, shortened), keep_space))

    prompt, surplus = without_surplus(tokenizer, prompt, context)
    prompt, cut = fit(tokenizer, prompt, context, length)
    return beginning(tokenizer, prompt), _both(surplus, cut)


def _prompt_ids(tokenizer: Tokenizer, prompt: Beginning, keep_space: bool = True) -> list[int]:
    """The ids of a prompt alone, with or without its trailing white space."""
    text = prompt.text if keep_space else prompt.text.stripped()
    ids = prompt.ids + (text.ids(tokenizer) if text.text else [])
    return ids or [_fallback_start(tokenizer)]


def _ids_after(tokenizer: Tokenizer, prompt: Beginning, answer: MarkedText, keep_space: bool) -> list[int]:
    """The ids that an answer adds to a prompt's; without ``keep_space``, with those of the prompt's trailing space."""
    if not answer.text:
        return []
    kept = prompt.text if keep_space else prompt.text.stripped()
    after = MarkedText(prompt.text.text[len(kept.text) :]).followed_by(*answer)
    ids = kept.ids(tokenizer) if kept.text else []
    whole = kept.followed_by(*after).ids(tokenizer)
    if whole[: len(ids)] == ids:
        return whole[len(ids) :]
    # A token crosses the boundary, but the prompt's ids must not change. Encoded alone, an answer may begin with a mark
    # for a space that is not in the text; after an ordinary character it does not.
    for anchor in ANCHORS:
        ids, whole = tokenizer.encode(anchor), MarkedText(anchor).followed_by(*after).ids(tokenizer)
        if whole[: len(ids)] == ids:
            return whole[len(ids) :]
    return after.ids(tokenizer)


ANCHORS = ("\n", ".", "a")
"""Texts to encode an answer after; the first one is used whose tokens do not cross into the answer."""


def _fallback_start(tokenizer: Tokenizer) -> int:
    if tokenizer.fallback_start is None:
        raise DataError("nothing comes before the text, and the tokenizer has neither a BOS nor an end token")
    return tokenizer.fallback_start
