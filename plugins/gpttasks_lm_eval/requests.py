"""What the harness asks of a model, in the requests of this project: for its tasks here, and for its own runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpttasks import Generate, LogLikelihood, Prompt, UserError

DEFAULT_TOKENS = 256
"""The longest text where a task does not say how long: the harness's own default."""

_LENGTHS = ("max_gen_toks", "max_tokens", "max_new_tokens")
GENERATION_KEYS = frozenset({"until", *_LENGTHS, "do_sample", "temperature", "top_p", "top_k", "num_beams"})


def longest_text(options: Mapping[str, Any]) -> int:
    """How many tokens ``generation_kwargs`` let a text have."""
    return int(next((options[key] for key in _LENGTHS if key in options), None) or DEFAULT_TOKENS)


def temperature_of(options: Mapping[str, Any]) -> float:
    """The temperature of ``generation_kwargs``; 0 where the likeliest token is taken."""
    return float(options.get("temperature") or 0.0) if options.get("do_sample") else 0.0


def generate_request(prompt: Prompt, options: Mapping[str, Any], seed: int) -> Generate:
    """The request for a text after ``prompt`` as ``generation_kwargs`` describe it; ``seed`` is that of its draws.

    Raises UserError for a key that is not known here.
    """
    unknown = sorted(options.keys() - GENERATION_KEYS)
    if unknown:
        raise UserError(
            f"the task asks for {', '.join(unknown)}, which this engine does not know",
            hint=f"known: {', '.join(sorted(GENERATION_KEYS))}",
        )
    until = options.get("until") or ()
    temperature = temperature_of(options)
    return Generate(
        prompt,
        longest_text(options),
        (until,) if isinstance(until, str) else tuple(until),
        temperature=temperature,
        top_k=options.get("top_k") or None if temperature else None,
        top_p=float(options.get("top_p", 1.0)) if temperature else 1.0,
        seed=seed if temperature else 0,
        beams=int(options.get("num_beams", 1)),
        keep_space=True,
    )


def likelihood_request(prompt: Prompt, continuation: str) -> LogLikelihood:
    """The request for a continuation. It may contain special tokens, as all texts of the harness may."""
    return LogLikelihood(prompt, continuation, special=((0, len(continuation)),))


def left_cuts(tokenizer: Any, context: str, continuation: str, room: int) -> Iterator[int]:
    """After how many characters a context may begin so that it fits into ``room`` tokens with its continuation.

    Ascending: 0 alone if all of it fits, else places where a token begins, and the context's end as the last.
    The harness's models cut there too: what is nearest to the continuation stays.
    """

    def ids(text: str) -> list[int]:
        row: list[int] = tokenizer.encode(text, ((0, len(text)),)) if text else []
        return row

    room -= len(tokenizer.starts_with)
    excess = len(ids(context + continuation)) - room
    if excess <= 0:
        yield 0
        return
    # A text cut off in the middle may begin with other tokens, and more of them: each place has to be tried.
    for end in tokenizer.token_ends(context, ((0, len(context)),))[excess - 1 : -1]:
        if len(ids(context[end:] + continuation)) <= room:
            yield end
    yield len(context)
