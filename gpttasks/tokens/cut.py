"""Where a prompt is cut: whole shots are dropped, the first one first; then the longest passage is cut.

A passage loses its end, or its start if its end is to be kept, as where the model continues the text.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import TooLong
from ..example import Prompt
from ..requests import NOTHING_CUT, Cut
from .tokenizer import Tokenizer


def fit(tokenizer: Tokenizer, prompt: Prompt, context: int, length: Callable[[Prompt], int]) -> tuple[Prompt, Cut]:
    """The prompt, shortened until its row fits ``context`` tokens, and what was cut.

    ``length(prompt)`` is the number of tokens in the row of a prompt. Raises TooLong if the prompt is too long even
    without shots and passages.
    """
    tokens = length(prompt)
    if tokens <= context:
        return prompt, NOTHING_CUT
    full, dropped, at_start = tokens, 0, 0
    while tokens > context and (fewer_shots := without_first_shots(prompt, 1)) != prompt:
        prompt, dropped = fewer_shots, dropped + 1
        tokens = full = length(prompt)  # dropped shots are counted as shots, not as tokens
    while tokens > context:
        index = _longest_passage(prompt)
        if index is None:
            raise TooLong(
                f"the text has {tokens} tokens without its passages, but the context has room for {context}",
                hint="shorten the text, mark a long part as {{ column | passage }}, or use a larger context",
            )
        prompt = _cut_passage(tokenizer, prompt, index, context, length)
        before, tokens = tokens, length(prompt)
        at_start += before - tokens if prompt[index].keep == "end" else 0
    return prompt, Cut(tokens=full - tokens, shots=dropped, at_start=at_start)


def without_first_shots(prompt: Prompt, count: int) -> Prompt:
    """The prompt without its first ``count`` shots."""
    first = [index for index, part in enumerate(prompt) if part.kind == "shot"][:count]
    return tuple(part for index, part in enumerate(prompt) if index not in first)


def _longest_passage(prompt: Prompt) -> int | None:
    """The index of the longest passage; None if no passage has any text left."""
    passages = [index for index, part in enumerate(prompt) if part.kind == "passage" and part.text]
    return max(passages, key=lambda place: len(prompt[place].text), default=None)


def _cut_passage(
    tokenizer: Tokenizer, prompt: Prompt, index: int, context: int, length: Callable[[Prompt], int]
) -> Prompt:
    """The prompt with as much of the passage at ``index`` as fits."""
    part = prompt[index]
    ends = [0, *tokenizer.token_ends(part.text, part.special)]
    last = len(ends) - 1

    def cut_to(tokens: int) -> Prompt:
        length = len(part.text)
        if part.keep == "start":
            kept = part.piece(0, ends[tokens])
        else:  # the tokenizer may drop white space after the last token: without tokens nothing is left
            kept = part.piece(ends[last - tokens] if tokens else length, length)
        return (*prompt[:index], kept, *prompt[index + 1 :])

    def tokens_at(tokens: int) -> int:
        return length(cut_to(tokens))

    excess = tokens_at(last) - context
    return cut_to(_last_that_fits(lambda tokens: tokens_at(tokens) <= context, last, last - excess))


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
