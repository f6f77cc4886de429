"""``rescore``: picks a hypothesis of an n-best list by likelihood, rank and length, weighed against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..answer import Answer
from ..component import Options
from ..errors import DataError
from ..example import Example, prompt_text, separator_places
from ..item import Item
from ..requests import NEAR_TIE, LogLikelihood, LogLikelihoodReply, Reply, Request
from ..tasks.transcripts import TranscriptNormaliser, word_errors
from .choice import continuations
from .nbest_search import fewest_errors
from .text import TextHead

LIKELIHOOD, RANK, LENGTH = "log_likelihood", "rank", "length"
FEATURES = (LIKELIHOOD, RANK, LENGTH)
"""What every hypothesis has, before the features that came with the data."""


class RescoreOptions(Options):
    """What is weighed, and with which weights."""

    former_keys: ClassVar[Mapping[str, str]] = {"scores": "features"}
    weights: dict[str, float] | None = Field(
        None,
        description="fixed weights of log_likelihood (nats), rank (0 for the first hypothesis), length and the "
        "named features; a missing weight is 0, and the highest weighted sum wins. null tunes them for "
        "the fewest word errors: on the validation examples after training, on the training examples "
        "without training",
    )
    features: list[str] = Field(
        default_factory=list,
        description="names of features of the example to include in the sum, one number per hypothesis, such as "
        "acoustic",
    )
    length: Literal["words", "tokens"] = Field(
        "words", description="the unit in which the length of a hypothesis is counted"
    )
    normaliser: TranscriptNormaliser = Field(
        "none", description="the normaliser of the word errors for which the weights are tuned, as in the metric wer"
    )
    separator: str = Field(
        " ", description="the text between prompt and hypothesis, unless one of them has white space there"
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> RescoreOptions:
        if len(set(self.names)) < len(self.names):
            raise ValueError(
                f"features: got {self.features}, expected different names, and none of {', '.join(FEATURES)}"
            )
        if self.weights is None:
            return self
        unknown = sorted(set(self.weights) - set(self.names))
        if unknown:
            raise ValueError(f"weights: got {unknown[0]!r}, expected one of {', '.join(self.names)}")
        if not all(map(math.isfinite, self.weights.values())) or not any(self.weights.values()):
            raise ValueError(f"weights: got {self.weights}, expected finite numbers, and not all of them 0")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is weighed."""
        return (*FEATURES, *self.features)


class Rescore(TextHead):
    """Picks the hypothesis with the highest weighted sum of log-likelihood, rank, length and features from the data.

    The answer is the hypothesis as text. It is trained on the right transcript, a language model of the domain. Before
    the weights are tuned, the log-likelihood alone decides. A blank hypothesis has no likelihood, so it is picked
    only if all are blank. The answer's detail has ``index``, and ``logprobs`` and ``tokens`` with one entry for each
    hypothesis that is not blank.
    """

    name = "rescore"
    Options = RescoreOptions
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "target"})
    gives = "text"
    asks = frozenset({LogLikelihood})
    tunes_untrained = True
    one_item = True

    options: RescoreOptions

    @property
    def tunes(self) -> bool:
        """Whether the weights are not fixed."""
        return self.options.weights is None

    @property
    def weights(self) -> Mapping[str, float]:
        """The weights by name: fixed, tuned, or the log-likelihood alone."""
        weights = self.options.weights or self.tuned.get("weights") or {LIKELIHOOD: 1.0}
        return {name: float(weights.get(name, 0.0)) for name in self.options.names}

    def check(self, example: Example) -> None:
        """Raises DataError for an example that lacks a feature, or has another number of them than hypotheses."""
        for name in self.options.features:
            _feature(example, name)

    def check_to_train(self, example: Example) -> None:
        """Raises DataError if the text to train on is missing or empty."""
        _transcript(example)

    def check_to_tune(self, example: Example) -> None:
        """Raises DataError for an example with a hypothesis to pick, and without a reference or a right answer."""
        if _places(example):
            _references(example)

    def items(self, example: Example) -> Iterator[Item]:
        """The prompt and the right transcript, whose tokens are the targets.

        Raises DataError for an example without one, or with an empty one.
        """
        (continuation,) = continuations(example, (_transcript(example),), self.separator)
        yield self.item(self.rows(self._request(example, continuation, self._continuations(example))))

    def requests(self, example: Example) -> list[Request]:
        """One log-likelihood for each different hypothesis that is not blank."""
        texts = self._continuations(example)
        return [self._request(example, text, texts) for text in texts]

    def _request(self, example: Example, text: str, texts: tuple[str, ...]) -> LogLikelihood:
        special = separator_places(example, prompt_text(example.prompt), self.separator)
        return LogLikelihood(example.prompt, text, texts, special=special)

    def _continuations(self, example: Example) -> tuple[str, ...]:
        """The different hypotheses that are not blank, as they follow the prompt."""
        different = dict.fromkeys(example.choices[place] for place in _places(example))
        return continuations(example, different, self.separator)

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The hypothesis with the highest sum, the first of equals.

        Raises DataError for an example that lacks a feature, or has another number of them than hypotheses.
        """
        places = _places(example)
        if not places:
            return Answer("", "", detail={"index": 0, "logprobs": [], "tokens": [], "near_tie": False})
        weights = self.weights
        given = _replies(example, replies)
        sums = [weighted(row, list(weights.values())) for row in self._features(example, given)]
        best = max(range(len(sums)), key=lambda place: sums[place])
        text = example.choices[places[best]]
        others = [value for value, place in zip(sums, places, strict=True) if example.choices[place] != text]
        margin = sums[best] - max(others) if others else math.inf
        detail = {
            "index": places[best],
            "logprobs": [reply.logprob for reply in given],
            "tokens": [reply.tokens for reply in given],
            "near_tie": margin < NEAR_TIE * abs(weights[LIKELIHOOD]),
        }
        return Answer(text, text, detail=detail)

    def tune(self, examples: Sequence[Example], replies: Sequence[Sequence[Reply]]) -> dict[str, Any]:
        """The weights with the fewest word errors, which are never more than those of the first hypotheses.

        Raises DataError for an example without a reference or a right answer.
        """
        pairs = [(one, given) for one, given in zip(examples, replies, strict=True) if _places(one)]
        features = [self._features(one, _replies(one, given)) for one, given in pairs]
        errors = [self._word_errors(one) for one, _ in pairs]
        starts = [{RANK: -1.0}, {LIKELIHOOD: 1.0}]
        names = self.options.names
        found = fewest_errors(features, errors, [[start.get(name, 0.0) for name in names] for start in starts])
        return {
            "weights": dict(zip(names, found.weights, strict=True)),
            "word_errors": found.errors,
            "word_errors_of_first": sum(row[0] for row in errors),
            "examples": len(pairs),
        }

    def _features(self, example: Example, replies: Sequence[LogLikelihoodReply]) -> list[list[float]]:
        """For each hypothesis that is not blank what is weighed, in the order of the names."""
        columns = [_feature(example, name) for name in self.options.features]
        rows = []
        for place, reply in zip(_places(example), replies, strict=True):
            words = len(example.choices[place].split())
            length = words if self.options.length == "words" else reply.tokens
            rows.append([reply.logprob, float(place), float(length), *(column[place] for column in columns)])
        return rows

    def _word_errors(self, example: Example) -> list[int]:
        references = _references(example)
        texts = [example.choices[place] for place in _places(example)]
        counts = {text: word_errors(text, references, self.options.normaliser)[0] for text in set(texts)}
        return [counts[text] for text in texts]


def _feature(example: Example, name: str) -> tuple[float, ...]:
    """The feature of each hypothesis. Raises DataError if there is not one number for each."""
    numbers = example.features.get(name, ())
    if len(numbers) != len(example.choices):
        raise DataError(
            f"example {example.id}: the feature {name!r} has {len(numbers)} numbers, expected one for each of "
            f"{len(example.choices)} hypotheses",
            hint=f"name the column that holds them in the task's option features: {{{name}: COLUMN}}",
        )
    return numbers


def _transcript(example: Example) -> str:
    """The text to train on. Raises DataError if there is none."""
    if not example.gold_text:
        raise DataError(f"example {example.id} has no text to train on", hint="fill its target")
    return example.gold_text


def _references(example: Example) -> tuple[str, ...]:
    """The transcripts that count as right, one or more. Raises DataError if there is none."""
    gold = example.gold_text
    references = example.references or (() if gold is None else (gold,))
    if not references:
        raise DataError(
            f"example {example.id} has no reference to tune the weights for", hint="give fixed weights instead"
        )
    return references


def _places(example: Example) -> list[int]:
    """The indices of the hypotheses that are not blank: only these can be picked."""
    return [place for place, text in enumerate(example.choices) if text.strip()]


def _replies(example: Example, replies: Sequence[Reply]) -> list[LogLikelihoodReply]:
    """One reply a hypothesis that is not blank; equal ones share theirs."""
    given = [reply for reply in replies if isinstance(reply, LogLikelihoodReply)]
    texts = [example.choices[place] for place in _places(example)]
    by_text = dict(zip(dict.fromkeys(texts), given, strict=True))
    return [by_text[text] for text in texts]


def weighted(row: Sequence[float], weights: Sequence[float]) -> float:
    """The weighted sum, added from left to right as the search for weights does it."""
    total = 0.0
    for value, weight in zip(row, weights, strict=True):
        total += value * weight
    return total
