"""Answers that need no model: what any score has to be compared with. A metric scores them like a head's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..answer import Answer, AnswerKind
from ..errors import DataError
from ..example import Example, prompt_text
from ..hashing import seeded_hash
from .labels import right_labels
from .transcripts import word_errors

Errors = Callable[[Example, str], "float | None"]
"""How many errors a text has, as a metric counts them; None if it counts none."""

LONGEST_RANDOM_SPAN = 5
"""Words of a random span: as many as most answers have at most."""


@dataclass(frozen=True)
class Baseline:
    """A way to answer without a model.

    gives:
        the kinds of answer it has; needs: the example fields it reads.
    answers:
        one answer an example, of the given kind; none depends on the order of the examples.
    by_errors:
        the same, for a baseline that looks at the right answer as the metric does that scores it; else None.
    """

    description: str
    gives: frozenset[AnswerKind]
    needs: frozenset[str]
    answers: Callable[[Sequence[Example], AnswerKind], list[Answer]]
    by_errors: Callable[[Sequence[Example], Errors], list[Answer]] | None = None

    def answers_for(self, errors: Errors, examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
        """The answers for a metric that counts errors so.

        Raises DataError, as ``answers`` does, for an example that lacks what the baseline needs.
        """
        return self.answers(examples, kind) if self.by_errors is None else self.by_errors(examples, errors)


def passage_of(example: Example) -> str:
    """The prompt's passages, joined; the whole prompt if it has none."""
    passages = [part.text for part in example.prompt if part.kind == "passage"]
    return "".join(passages) if passages else prompt_text(example.prompt)


def _majority(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    """The most frequent right answer of the scored examples, with the frequencies as probabilities.

    Where examples have different numbers of choices, it is the most frequent one of those that an example has.
    """
    if kind == "labels":
        return _majority_labels(examples)
    counts = Counter(int(example.label) for example in examples if example.label is not None)
    found = []
    for example in examples:
        own = [counts[index] for index in range(len(example.choices))]
        best, total = own.index(max(own)), sum(own)
        shares = tuple(count / total if total else 1 / len(own) for count in own)
        found.append(Answer(best, example.choices[best], shares))
    return found


def _majority_labels(examples: Sequence[Example]) -> list[Answer]:
    columns = list(zip(*map(right_labels, examples), strict=True))
    shares = tuple(sum(column) / len(examples) for column in columns)
    chosen = [index for index, share in enumerate(shares) if share > 0.5]
    return [Answer(chosen, ", ".join(example.choices[index] for index in chosen), shares) for example in examples]


def _random(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    """A choice, or a span of the passage, drawn by the example's id."""
    if kind != "label":
        return [_random_span(example, kind) for example in examples]
    found = []
    for example in examples:
        size = len(example.choices)
        index = seeded_hash(0, "random answer", example.id) % size
        found.append(Answer(index, example.choices[index], (1 / size,) * size))
    return found


def _random_span(example: Example, kind: AnswerKind) -> Answer:
    passage = passage_of(example)
    words = [match.span() for match in re.finditer(r"\S+", passage)]
    if not words:
        return Answer(None if kind == "span" else "", "")
    first = seeded_hash(0, "random start", example.id) % len(words)
    length = 1 + seeded_hash(0, "random length", example.id) % LONGEST_RANDOM_SPAN
    start, end = words[first][0], words[min(first + length, len(words)) - 1][1]
    text = passage[start:end]
    return Answer([start, end] if kind == "span" else text, text)


def _no_answer(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    return [Answer(None if kind == "span" else "", "") for _ in examples]


def _copy(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    return [Answer(passage_of(example), passage_of(example)) for example in examples]


def _first_sentence(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    firsts = [re.split(r"(?<=[.!?])\s|\n", passage_of(example).strip(), maxsplit=1)[0] for example in examples]
    return [Answer(text, text) for text in firsts]


def _mean(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    numbers = [float(example.label) for example in examples if example.label is not None]
    mean = sum(sorted(numbers)) / len(numbers)
    return [Answer(mean, f"{mean:g}") for _ in examples]


def _choices(example: Example) -> tuple[str, ...]:
    """The example's choices. Raises DataError where it has none."""
    if not example.choices:
        raise DataError(f"example {example.id} has no choices, so the baseline has nothing to pick")
    return example.choices


def _first_hypothesis(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    firsts = [_choices(example)[0] for example in examples]
    return [Answer(text, text) for text in firsts]


def _oracle(examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
    return _fewest_errors(examples, _plain_word_errors)


def _fewest_errors(examples: Sequence[Example], errors: Errors) -> list[Answer]:
    """The choice with the fewest errors, the first of equals; word errors where the metric counts none."""
    found = []
    for example in examples:
        counts: dict[str, float] = {}
        for text in dict.fromkeys(_choices(example)):
            count = errors(example, text)
            counts[text] = _plain_word_errors(example, text) if count is None else count
        best = min(counts, key=lambda text: counts[text])
        found.append(Answer(best, best))
    return found


def _plain_word_errors(example: Example, text: str) -> float:
    if not example.references:
        raise DataError(f"example {example.id} has no references, so no choice is the best one")
    return float(word_errors(text, example.references)[0])


BASELINES: dict[str, Baseline] = {
    "majority": Baseline(
        "the most frequent right answer of the scored examples",
        frozenset({"label", "labels"}),
        frozenset({"choices"}),
        _majority,
    ),
    "random": Baseline(
        "a random choice, or a random span of 1 to 5 words of the passage",
        frozenset({"label", "span", "text"}),
        frozenset({"prompt"}),
        _random,
    ),
    "no_answer": Baseline("no answer at all", frozenset({"span", "text"}), frozenset(), _no_answer),
    "copy": Baseline("the passage itself, such as the source", frozenset({"text"}), frozenset({"prompt"}), _copy),
    "first_sentence": Baseline(
        "the first sentence of the passage", frozenset({"text"}), frozenset({"prompt"}), _first_sentence
    ),
    "mean": Baseline("the mean of the right numbers", frozenset({"number"}), frozenset({"label"}), _mean),
    "first_hypothesis": Baseline(
        "the first choice, such as the likeliest hypothesis of a recogniser",
        frozenset({"text"}),
        frozenset({"choices"}),
        _first_hypothesis,
    ),
    "oracle": Baseline(
        "the choice with the fewest errors as the metric counts them, word errors where it counts none",
        frozenset({"text"}),
        frozenset({"choices", "references"}),
        _oracle,
        _fewest_errors,
    ),
}
"""By the name that a metric's ``baseline`` gives."""
