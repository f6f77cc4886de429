"""Where a prompt is cut: whole shots are dropped, the first one first; then the longest passages are cut.

A passage loses its end, or its start if its end is to be kept, as where the model continues the text. Several passages
that are cut keep equally many tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import TooLong
from ..example import Part, Prompt
from ..requests import NOTHING_CUT, Cut
from .surplus import SHORTEN
from .tokenizer import Tokenizer


def fit(tokenizer: Tokenizer, prompt: Prompt, context: int, length: Callable[[Prompt], int]) -> tuple[Prompt, Cut]:
    """The prompt, shortened until its row fits ``context`` tokens, and what was cut.

    ``length(prompt)`` is the number of tokens in the row of a prompt. Raises TooLong if the prompt is too long even
    without shots and passages.
    """
    tokens = length(prompt)
    if tokens <= context:
        return prompt, NOTHING_CUT
    dropped = 0
    while tokens > context and (fewer_shots := without_first_shots(prompt, 1)) != prompt:
        prompt, dropped = fewer_shots, dropped + 1
        tokens = length(prompt)  # dropped shots are counted as shots, not as tokens
    if tokens <= context:
        return prompt, Cut(shots=dropped)
    return _cut_passages(tokenizer, prompt, context, length, dropped)


def without_first_shots(prompt: Prompt, count: int) -> Prompt:
    """The prompt without its first ``count`` shots."""
    first = [index for index, part in enumerate(prompt) if part.kind == "shot"][:count]
    return tuple(part for index, part in enumerate(prompt) if index not in first)


def _cut_passages(
    tokenizer: Tokenizer, prompt: Prompt, context: int, length: Callable[[Prompt], int], dropped: int
) -> tuple[Prompt, Cut]:
    """The prompt with as many tokens of its passages as fit; none keeps more than the others that are cut."""
    ends = {
        index: [0, *tokenizer.token_ends(part.text, part.special)]
        for index, part in enumerate(prompt)
        if part.kind == "passage"
    }
    longest = max((len(one) - 1 for one in ends.values()), default=0)

    def cut_to(tokens: int) -> Prompt:
        return tuple(
            _first_or_last(part, ends[index], tokens) if index in ends else part for index, part in enumerate(prompt)
        )

    def tokens_at(tokens: int) -> int:
        return length(cut_to(tokens))

    full = length(prompt)
    room = sum(len(one) - 1 for one in ends.values()) - (full - context)
    kept = _last_that_fits(lambda tokens: tokens_at(tokens) <= context, longest, room // max(1, len(ends)))
    shortened = cut_to(kept)
    if (tokens := length(shortened)) > context:
        raise TooLong(
            f"the text has {tokens} tokens without its passages, but the context has room for {context}",
            hint=SHORTEN,
        )
    lost = {index: max(0, len(one) - 1 - kept) for index, one in ends.items()}
    at_start = sum(count for index, count in lost.items() if prompt[index].keep == "end")
    at_end = sum(lost.values()) - at_start
    # Tokens that cross the ends of a passage are counted with the side that was cut, or with the end.
    cut = full - tokens
    return shortened, Cut(cut, dropped, min(at_start, cut) if at_end else cut if at_start else 0)


def _first_or_last(part: Part, ends: Sequence[int], tokens: int) -> Part:
    """The first tokens of a passage, or its last ones if its end is kept."""
    last, length = len(ends) - 1, len(part.text)
    if tokens >= last:
        return part
    if part.keep == "start":
        return part.piece(0, ends[tokens])
    # The tokenizer may drop white space after the last token: without tokens nothing is left.
    return part.piece(ends[last - tokens] if tokens else length, length)


def _last_that_fits(fits: Callable[[int], bool], too_many: int, guess: int) -> int:
    """A number below ``too_many`` that fits while the next one does not; 0 if no larger number is found to fit.

    Searches from ``guess`` in steps that double, then bisects the remaining range.
    """
    fitting, step = 0, 1
    at = min(max(guess, 1), too_many - 1)
    while too_many - fitting > 1:
        if fits(at):
            fitting, at = at, at + step
        else:
            too_many, at = at, at - step
        step *= 2
        if not fitting < at < too_many:
            at = (fitting + too_many) // 2
    return fitting
