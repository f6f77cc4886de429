"""``choice``: the option that the model finds likeliest after the prompt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from ..answer import Answer
from ..component import Options
from ..errors import DataError
from ..example import Example, Prompt, answer_after, prompt_text, separator_places
from ..item import Item
from ..requests import LogLikelihood, LogLikelihoodReply, Reply, Request, near_tie
from .text import TextHead


class ChoiceOptions(Options):
    """How the options are compared."""

    normalisation: Literal["none", "tokens", "bytes", "unconditional"] = Field(
        "none",
        description="divide the log-likelihood of an option by its number of tokens or bytes, or subtract its "
        "log-likelihood without the prompt",
    )
    separator: str = Field(
        " ", description="the text between prompt and option, unless one of them has white space there"
    )


class Choice(TextHead):
    """Ranks the example's choices by log-likelihood; trains on the text of the right one.

    Probabilities are the softmax of the compared values. ``unconditional`` is the normalisation of GPT-3
    (Brown et al. 2020, section 2.4): log p(option | prompt) - log p(option).

    An example with contexts, one for each choice, is the other way round: the choice is that whose context makes the
    target the likeliest (partial evaluation: Trinh and Le 2018), and the target after the right context is trained on.
    """

    name = "choice"
    Options = ChoiceOptions
    needs = frozenset({"prompt", "choices"})
    optional = frozenset({"contexts"})
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"
    asks = frozenset({LogLikelihood})
    one_item = True

    options: ChoiceOptions

    def check(self, example: Example) -> None:
        """Raises DataError for contexts that do not fit the choices, or a normalisation that compares nothing there."""
        if not example.contexts:
            return
        if len(example.contexts) != len(example.choices) or not example.target:
            raise DataError(
                f"example {example.id} has {len(example.contexts)} contexts, {len(example.choices)} choices and the "
                f"target {example.target!r}, expected one context for each choice and a target that follows them"
            )
        if self.options.normalisation != "none":
            raise DataError(
                f"head.normalisation is {self.options.normalisation}, but the contexts of example {example.id} have "
                "the same continuation",
                hint="leave head.normalisation out",
            )

    def check_to_train(self, example: Example) -> None:
        """Raises DataError if the right choice is not known."""
        right_choice(example)

    def check_choices(self, example: Example) -> None:
        """Raises DataError for two choices with the same tokens: a model always finds them equally likely."""
        seen: dict[tuple[int, ...], str] = {}
        for choice, request in zip(example.choices, self.requests(example), strict=False):
            tokens = tuple(token for row in self.rows(request) for token in row.ids)
            same = seen.setdefault(tokens, choice)
            if same != choice:
                raise DataError(
                    f"the tokenizer of the backbone {self.backbone.name!r} gives the choices {same!r} and {choice!r} "
                    "the same tokens, so no model can tell them apart",
                    hint="use other words, for example in task.labels, or another backbone",
                )

    def items(self, example: Example) -> Iterator[Item]:
        """The prompt with the right choice, whose tokens are the targets."""
        label = right_choice(example)
        yield self.item(self.rows(self.requests(example)[label]), label)

    def requests(self, example: Example) -> list[Request]:
        """One log-likelihood an option; with ``unconditional`` as many again without the prompt."""
        if example.contexts:
            return [self._after(context, example) for context in example.contexts]
        options = self._continuations(example)
        special = separator_places(example, prompt_text(example.prompt), self.separator)
        asked: list[Request] = [LogLikelihood(example.prompt, one, options, special=special) for one in options]
        if self.options.normalisation == "unconditional":
            asked += [LogLikelihood(example.prompt, one, options, True, special) for one in options]
        return asked

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The index of the likeliest option, with a probability for each; see :meth:`~gpttasks.Head.best_choice`."""
        given = [reply for reply in replies if isinstance(reply, LogLikelihoodReply)]
        logprobs = [reply.logprob for reply in given[: len(example.choices)]]
        values = self._normalise(example, given, logprobs)
        best, tie = self.best_choice(example, values)
        tokens = [reply.tokens for reply in given[: len(logprobs)]]
        detail = {"logprobs": logprobs, "tokens": tokens, "near_tie": near_tie(values), "tie": tie}
        return Answer(best, example.choices[best], softmax(values), detail)

    def _after(self, context: Prompt, example: Example) -> Request:
        """The log-likelihood of the target after one of the contexts."""
        text = prompt_text(context)
        target = answer_after(example, text, example.target or "", self.separator)
        special = separator_places(example, text, self.separator)
        return LogLikelihood(context, target, (target,), special=special, prompts=example.contexts)

    def _continuations(self, example: Example) -> tuple[str, ...]:
        return continuations(example, example.choices, self.separator)

    def _normalise(self, example: Example, given: list[LogLikelihoodReply], logprobs: list[float]) -> list[float]:
        kind = self.options.normalisation
        if kind == "tokens":
            return [value / reply.tokens for value, reply in zip(logprobs, given, strict=False)]
        if kind == "bytes":
            return [value / len(text.encode()) for value, text in zip(logprobs, example.choices, strict=True)]
        if kind == "unconditional":
            return [value - alone.logprob for value, alone in zip(logprobs, given[len(logprobs) :], strict=True)]
        return logprobs


def continuations(example: Example, choices: Iterable[str], separator: str) -> tuple[str, ...]:
    """What follows the prompt for each choice: the choice, after the separator where one is needed."""
    prompt = prompt_text(example.prompt)
    return tuple(answer_after(example, prompt, choice, separator) for choice in choices)


def right_choice(example: Example) -> int:
    """The label. Raises DataError if it is not known, or is not the index of a choice."""
    if example.label is None:
        raise DataError(f"example {example.id} has no label: the right choice is not known")
    if example.label >= len(example.choices):
        raise DataError(
            f"example {example.id} has the label {example.label}, expected the index of one of "
            f"{len(example.choices)} choices"
        )
    return example.label


def softmax(values: Sequence[float]) -> tuple[float, ...]:
    """The softmax of some floats, safe for large ones."""
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    total = sum(weights)
    return tuple(weight / total for weight in weights)
