"""``generate``: the text that the model writes after the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..answer import Answer
from ..component import Options
from ..errors import DataError
from ..example import Example, answer_after, prompt_text, separator_places
from ..hashing import seeded_hash
from ..item import Item
from ..requests import Generate, GenerateReply, Reply, Request
from ..tokens.rows import row_with_answer
from .text import TextHead

LEAST_TEMPERATURE = 1e-4
"""The lowest temperature at which logits can be divided by it in single precision."""


class GenerateOptions(Options):
    """How text is written, and on what it is trained."""

    max_tokens: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="the maximum number of tokens of an answer; the prompt is cut so that they fit",
    )
    stop: list[str] = Field(
        default_factory=list,
        description="stop strings, such as a line break: an answer ends before the first of them, or at the end token. "
        "White space and the separator in front of an answer do not end it",
    )
    temperature: float = Field(
        0.0, ge=0, le=100, description="0 always takes the most likely token; above 0, tokens are sampled"
    )
    top_k: int | None = Field(None, ge=1, le=1_000_000, description="sample from this number of most likely tokens")
    top_p: float = Field(
        1.0, gt=0, le=1, description="sample from the smallest set of tokens with at least this total probability"
    )
    seed: int = Field(
        1,
        ge=0,
        lt=2**32,
        description="the seed for sampling; each example's own seed is derived from it and the id of the example",
    )
    beams: int = Field(1, ge=1, le=1000, description="the number of beams; more than 1 is beam search")
    length_penalty: float = Field(
        1.0, ge=-100, le=100, description="beams are ranked by log-probability / length ** length_penalty"
    )
    separator: str = Field(
        " ", description="the text between prompt and answer, unless one of them has white space there"
    )
    train_on: Literal["target", "references"] = Field(
        "target", description="train on the target of each example, or on each of its different references"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> GenerateOptions:
        if any(not text for text in self.stop):
            raise ValueError(f"stop: got an empty text among {self.stop}, which would end every answer at once")
        if self.temperature == 0 and (self.top_k is not None or self.top_p < 1):
            raise ValueError("top_k and top_p: nothing is drawn at temperature 0; set a temperature")
        if 0 < self.temperature < LEAST_TEMPERATURE:
            got = f"got {self.temperature:g}, expected 0 or at least {LEAST_TEMPERATURE:g}"
            raise ValueError(f"temperature: {got}: below, the most likely token is always drawn")
        if self.beams > 1 and self.temperature:
            raise ValueError(
                f"beams: got {self.beams} with temperature {self.temperature}; beams draw nothing: write "
                "head.beams=1, or head.temperature=0"
            )
        if self.beams == 1 and self.length_penalty != 1:
            raise ValueError("length_penalty: is read with several beams only")
        return self


class GenerateText(TextHead):
    """Writes after the prompt; trained on the right answer and an end token after it.

    The answer is the text without white space around it. Its detail has ``finish`` (``end``, ``stop``, or ``length``
    where neither came), ``tokens`` and ``logprob``.
    """

    name = "generate"
    Options = GenerateOptions
    sample_options: ClassVar[dict[str, Any]] = {"max_tokens": 8}
    trains_on = frozenset({"prompt", "target"})
    gives = "text"
    asks = frozenset({Generate})

    options: GenerateOptions

    def __init__(self, options: GenerateOptions | None = None) -> None:
        super().__init__(options)
        self.one_item = self.options.train_on == "target"

    def check_to_train(self, example: Example) -> None:
        """Raises DataError without a text to train on."""
        self._texts(example)

    def items(self, example: Example) -> Iterator[Item]:
        """Prompt, answer and end token, with answer and end as the targets; one for each text to train on."""
        for text in self._texts(example):
            yield self._item(example, text)

    def _texts(self, example: Example) -> tuple[str, ...]:
        """The texts to train on, one or more. Raises DataError if there is none."""
        if self.options.train_on == "references":
            texts = tuple(dict.fromkeys(reference for reference in example.references if reference.strip()))
            if texts:
                return texts
            # An empty reference marks an unanswerable example; the target is the text to write then.
        if example.gold_text is None:
            raise DataError(f"example {example.id} has no text to train on", hint="fill its target")
        return (example.gold_text,)

    def _item(self, example: Example, text: str) -> Item:
        prompt, backbone = prompt_text(example.prompt), self.backbone
        # an empty answer is its end token alone
        answer = answer_after(example, prompt, text, self.separator) if text else ""
        if not answer and backbone.tokenizer.end is None:
            raise DataError(f"example {example.id} has an empty target, and the tokenizer no end token to train on")
        special = separator_places(example, prompt, self.separator) if answer else ()
        request, tokenizer = self._request(example), backbone.tokenizer
        return self.item([row_with_answer(tokenizer, request, answer, backbone.context, special=special)])

    def requests(self, example: Example) -> list[Request]:
        """One text."""
        return [self._request(example)]

    def _request(self, example: Example) -> Generate:
        options = self.options
        return Generate(
            example.prompt,
            options.max_tokens,
            tuple(options.stop),
            options.temperature,
            options.top_k,
            options.top_p,
            seeded_hash(options.seed, "generate", example.id) if options.temperature else 0,
            options.beams,
            options.length_penalty,
            separator=self._visible_separator(example),
        )

    def _visible_separator(self, example: Example) -> str:
        """The separator that a model learns from shots or training to write before the answer; empty if white space."""
        separator = answer_after(example, prompt_text(example.prompt), "", self.separator)
        return separator if separator.strip() else ""

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The text, without white space around it."""
        (reply,) = replies
        assert isinstance(reply, GenerateReply)
        text = reply.text.strip()
        detail = {
            "finish": reply.finish,
            "tokens": reply.tokens,
            "logprob": reply.logprob,
            "near_tie": reply.near_tie,
        }
        return Answer(text, text, detail=detail)
