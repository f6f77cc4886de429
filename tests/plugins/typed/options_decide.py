"""A plugin whose head and metric declare by their options what they need, give and take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gpttasks import Answer, Example, Head, Metric, Options, Register, Reply, Request, hookimpl

if TYPE_CHECKING:
    pass


class LengthOptions(Options):
    """What is told of the prompt's length."""

    of: Literal["prompt", "choices"] = Field("prompt", description="what is measured")


class Length(Head):
    """Answers with the length of the prompt, or with the longest choice."""

    name = "length"
    Options = LengthOptions
    asks = frozenset()

    options: LengthOptions

    @property
    def needs(self) -> frozenset[str]:
        """The choices where they are measured."""
        return frozenset({"prompt"} if self.options.of == "prompt" else {"prompt", "choices"})

    @property
    def gives(self) -> str:
        """A number, or the index of a choice."""
        return "number" if self.options.of == "prompt" else "label"

    @property
    def prompted(self) -> bool:
        """Solved examples would change the prompt's length."""
        return self.options.of == "choices"

    def requests(self, example: Example) -> list[Request]:
        """Nothing has to be asked."""
        return []

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The length in characters, or the longest choice, the first of equals."""
        if self.options.of == "prompt":
            return Answer(float(sum(len(part.text) for part in example.prompt)))
        longest = max(example.choices, key=len)
        return Answer(example.choices.index(longest), longest)


class AtMostOptions(Options):
    """What is scored."""

    limit: float | None = Field(None, description="the highest number that counts; null scores choices")


class AtMost(Metric):
    """The share of numbers up to a limit, or of right choices."""

    name = "at-most"
    statistic = "share"
    Options = AtMostOptions

    options: AtMostOptions

    @property
    def needs(self) -> frozenset[str]:
        """The right choice where choices are scored."""
        return frozenset({"label"} if self.options.limit is None else ())

    @property
    def takes(self) -> frozenset[str]:
        """Choices or numbers."""
        return frozenset({"label" if self.options.limit is None else "number"})

    @property
    def version(self) -> str:
        """One for each of the two."""
        return "choices 1" if self.options.limit is None else "numbers 1"

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """1 or 0."""
        right = answer.value == example.label if self.options.limit is None else answer.value <= self.options.limit
        return (float(right),)


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Register both."""
    register.head(Length)
    register.metric(AtMost)
