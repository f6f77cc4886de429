"""The head ``lm-eval``: asks what the harness asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pydantic import Field

from gpttasks import (
    Answer,
    DataError,
    Example,
    Generate,
    GenerateReply,
    Item,
    LogLikelihood,
    LogLikelihoodReply,
    Options,
    Part,
    Prompt,
    Reply,
    Request,
    Rolling,
    RollingReply,
    TextHead,
    near_tie,
    row_with_answer,
)

from .example import HarnessExample
from .requests import generate_request, left_cuts, likelihood_request, longest_text, temperature_of


class HarnessHeadOptions(Options):
    """The options of the head ``lm-eval``."""

    generation: dict[str, str | int | float | bool | list[str]] = Field(
        {}, description="settings that replace those in the task's generation_kwargs, such as {max_gen_toks: 64}"
    )
    seed: int = Field(
        1,
        ge=0,
        lt=2**32,
        description="the seed for sampled texts; each example's own seed is derived from it and the id of the example",
    )


class HarnessHead(TextHead):
    """Asks precisely the harness's own requests of any type; answers for the metric ``lm-eval``.

    A context that is too long is cut at its beginning, as the harness cuts it, and counted. Trained, it learns the
    right answer after the prompt (and an end token after a text to write); tasks with one context a choice have none.
    The answer's value holds, for each request, a list of one response a repeat: [log-likelihood, greedy], a
    log-likelihood, or a text.
    """

    name = "lm-eval"
    Options = HarnessHeadOptions
    needs = frozenset({"instances"})
    trains_on = frozenset({"instances"})
    gives = "responses"
    asks = frozenset({LogLikelihood, Rolling, Generate})
    prompted = False  # the task draws its shots itself
    one_item = True

    options: HarnessHeadOptions

    def check(self, example: Example) -> None:
        """Raises DataError for an example that is not a document of the harness."""
        _instances(example)

    def check_to_train(self, example: Example) -> None:
        """Raises DataError for an example without a right answer, or with several contexts."""
        _right_text(example)

    def items(self, example: Example) -> Iterator[Item]:
        """The right answer after the prompt. Raises DataError for an example without any, or with several contexts."""
        answer = (example.separator or "") + _right_text(example)
        if _instances(example)[0].request_type == "generate_until":
            request = Generate(example.prompt, 1, keep_space=True)
            special = ((0, len(answer)),)
            row = row_with_answer(self.backbone.tokenizer, request, answer, self.backbone.context, special=special)
            yield self.item([row])
        else:
            yield self.item(self.rows(likelihood_request(example.prompt, answer)))

    def requests(self, example: Example) -> list[Request]:
        """The harness's requests. One that is repeated is asked again only where its text is drawn.

        Raises UserError for generation settings that are not known, DataError for a type of request that is not.
        """
        return [
            request for place, one in enumerate(_instances(example)) for request in self._asked(example, place, one)
        ]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The responses; as text the likeliest choice, or what was written first."""
        rest = iter(replies)
        responses = []
        for instance in _instances(example):
            given = [_response(reply) for reply in islice(rest, self._draws(instance))]
            responses.append(given * (1 if len(given) > 1 else _repeats(instance)))
        values = [reply.logprob for reply in replies if isinstance(reply, LogLikelihoodReply)]
        written = [reply for reply in replies if isinstance(reply, GenerateReply)]
        detail: dict[str, Any] = {"near_tie": any(reply.near_tie for reply in written)}
        text = ""
        if written:
            text = written[0].text
            detail["finish"] = written[0].finish
        elif len(values) > 1:
            first = values[: len(example.choices) or None]
            best = max(first)
            detail["near_tie"] = near_tie(first)
            if example.choices:  # counted; the harness takes the first of equals, and its number is what is reported
                _, detail["tie"] = self.best_choice(example, first)
            text = example.choices[first.index(best)] if example.choices else str(first.index(best))
        return Answer(responses, text, detail=detail)

    def _asked(self, example: Example, place: int, instance: Any) -> Iterator[Request]:
        kind, arguments = instance.request_type, instance.args
        if kind == "loglikelihood_rolling":
            yield Rolling((Part.with_special_tokens(str(arguments[0]), "passage"),))
        elif kind == "loglikelihood":
            context, continuation = arguments
            yield likelihood_request(self._prompt(context, continuation, self.backbone.context), continuation)
        elif kind == "generate_until":
            settings = {**arguments[1], **self.options.generation}
            prompt = self._prompt(arguments[0], "", self.backbone.context - longest_text(settings))
            for number in range(self._draws(instance)):
                yield generate_request(prompt, settings, self._seed(example.id, place, number))
        else:
            raise DataError(f"example {example.id} asks for {kind!r}, which no engine here answers")

    def _draws(self, instance: Any) -> int:
        """How often an instance is really asked: likelihoods and likeliest texts are the same each time."""
        drawn = instance.request_type == "generate_until" and temperature_of(
            {**instance.args[1], **self.options.generation}
        )
        return _repeats(instance) if drawn else 1

    def _seed(self, *names: object) -> int:
        text = "\x1f".join(str(name) for name in (self.options.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")

    def _prompt(self, context: str, continuation: str, room: int) -> Prompt:
        """The context; if it is too long, what has to go at its beginning is a passage: the only part that is cut.

        It is left to the engine to cut it, so that it is counted as any other cut is. Where the rest takes fewer tokens
        alone than it did, the engine finds room for a token or two of the passage's beginning.
        """
        tokenizer = getattr(self.backbone, "tokenizer", None)
        if tokenizer is None or room < 1:  # then the engine says what is wrong
            return (Part.with_special_tokens(context),)
        cut = next(left_cuts(tokenizer, context, continuation, room))
        parts = (Part.with_special_tokens(context[:cut], "passage"), Part.with_special_tokens(context[cut:]))
        return tuple(part for part in parts if part.text)


def _right_text(example: Example) -> str:
    if example.gold_text is None:
        hint = "its document has no one right answer after one context; text alone is trained with head: lm"
        raise DataError(f"example {example.id} has nothing to train on", hint=hint)
    return example.gold_text


def _instances(example: Example) -> tuple[Any, ...]:
    if not isinstance(example, HarnessExample):
        raise DataError("the head 'lm-eval' asks for documents of lm-evaluation-harness only", hint="use: lm-eval")
    return example.instances


def _repeats(instance: Any) -> int:
    return int(instance.repeats or 1)


def _response(reply: Reply) -> Any:
    """A reply as the harness knows it, in JSON types."""
    if isinstance(reply, LogLikelihoodReply):
        return [reply.logprob, reply.greedy]
    if isinstance(reply, RollingReply):
        return reply.logprob
    assert isinstance(reply, GenerateReply)
    return reply.text
