"""A warning about data that contain the text of a special token, which is treated as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..example import Example, Spans, prompt_text, special_places
from ..heads.base import Head
from ..requests import LogLikelihood
from .parts import PreparedRun


def spelt_tokens_warning(prepared: PreparedRun, examples: Sequence[Example], what: str) -> str | None:
    """A warning with the number of examples that contain the text of a special token; None if there are none.

    Text in the template itself does not count. Data made for a chat model may rely on control tokens in a column, but
    here only the template can insert them. ``what`` names the examples, such as ``scored``.
    """
    if prepared.backbone.lm is None:
        return None
    head, tokenizer = prepared.head, prepared.backbone.lm.tokenizer
    count, named = 0, ""
    for example in examples:
        found = next((token for text, meant in _texts(head, example) for token in tokenizer.unmeant(text, meant)), None)
        count += found is not None
        named = named or found or ""
    if not count:
        return None
    return (
        f"{count:,} of {len(examples):,} {what} examples contain the text of a special token, such as {named!r}: "
        "it is treated as plain text, since only the template of a prompt can insert special tokens"
    )


def _texts(head: Head, example: Example) -> Iterator[tuple[str, Spans]]:
    """The texts of an example that become tokens, each with the spans that may contain special tokens."""
    for prompt in (example.prompt, *example.contexts):
        yield prompt_text(prompt), special_places(prompt)
    if LogLikelihood in head.asks:
        yield from ((text, ()) for text in example.choices)
    if example.target is not None:
        yield example.target, ()
