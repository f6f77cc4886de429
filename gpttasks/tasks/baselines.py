"""Baselines: answers that need no model, to compare a score with. A metric scores them as it scores a head's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, overload

from ..answer import Answer
from ..component import Component
from ..declarations import EXAMPLES, FIELDS, frozenset_of_text
from ..errors import DataError
from ..example import Example, prompt_text
from ..hashing import seeded_hash
from .labels import right_labels
from .transcripts import word_errors

Errors = Callable[[Example, str], "float | None"]
"""How many errors a text has, as a metric counts them; None if it counts none."""

LONGEST_RANDOM_SPAN = 5
"""Words of a random span: most answers have at most as many."""


class Baseline(Component):
    """A way to answer without a model. A subclass gives ``name``, ``gives`` and ``answers``.

    gives:
        the kinds of answer it can give, see :class:`~gpttasks.Answer`.
    needs:
        the example fields without which it has no answer.
    sample_examples:
        examples on which the conformance kit checks it; needed where generated ones do not suit it.
    """

    kind = "baseline"
    sample_examples: ClassVar[Sequence[Example]] = ()
    declarations: ClassVar = {
        "gives": frozenset_of_text(
            "a frozenset of the kinds of answer that it gives, such as frozenset({'label'})", required=True
        ),
        "needs": FIELDS,
        "sample_examples": EXAMPLES,
    }
    required_methods: ClassVar = (("answers",),)

    @property
    def gives(self) -> frozenset[str]:
        """See the class; a plain class attribute in a subclass, or a property where its options decide."""
        return frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """See the class."""
        return frozenset()

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """One answer of the kind ``kind`` for each example; none depends on the order of the examples.

        ``errors`` counts the errors of a text as the metric does that scores the answers. Raises DataError for an
        example that it has no answer to.
        """
        raise NotImplementedError

    def possible(self, example: Example, kind: str) -> Sequence[Answer] | None:
        """All answers that a baseline which draws at random may give to the example, each equally likely.

        Its score is then the expected one, and not that of one draw. None for a baseline that does not draw.
        """
        return None


def passage_of(example: Example) -> str:
    """The prompt's passages, joined; the whole prompt if it has none."""
    passages = [part.text for part in example.prompt if part.kind == "passage"]
    return "".join(passages) if passages else prompt_text(example.prompt)


def _choices(example: Example) -> tuple[str, ...]:
    """The example's choices. Raises DataError where it has none."""
    if not example.choices:
        raise DataError(f"example {example.id} has no choices, so the baseline has nothing to pick")
    return example.choices


class Majority(Baseline):
    """The most frequent right answer of the scored examples, with the frequencies as probabilities.

    Where examples have different numbers of choices, it is the most frequent one of those that an example has.
    """

    name = "majority"
    gives = frozenset({"label", "labels"})
    needs = frozenset({"choices"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The most frequent choice; of several labels, those that more than half of the examples have."""
        if kind == "labels":
            return self._labels(examples)
        counts = Counter(example.label for example in examples if example.label is not None)
        answers = []
        for example in examples:
            frequencies = [counts[index] for index in range(len(_choices(example)))]
            best, total = frequencies.index(max(frequencies)), sum(frequencies)
            shares = tuple(count / total if total else 1 / len(frequencies) for count in frequencies)
            answers.append(Answer(best, example.choices[best], shares))
        return answers

    def _labels(self, examples: Sequence[Example]) -> list[Answer]:
        columns = list(zip(*map(right_labels, examples), strict=True))
        shares = tuple(sum(column) / len(examples) for column in columns)
        chosen = [index for index, share in enumerate(shares) if share > 0.5]
        return [Answer(chosen, ", ".join(example.choices[index] for index in chosen), shares) for example in examples]


class Random(Baseline):
    """A random choice or, where an example has none, a random span of 1 to 5 words of the passage.

    Its score is the expected one over all of them; a single answer is drawn by the example's id.
    """

    name = "random"
    gives = frozenset({"label", "span", "text"})
    needs = frozenset({"prompt"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """One of the possible answers to each example."""
        return [_drawn(example, self.possible(example, kind)) for example in examples]

    def possible(self, example: Example, kind: str) -> Sequence[Answer]:
        """Each choice, with equal probabilities for all, or each span.

        A text is one of the choices too where the example has them, such as the hypotheses of a recogniser.
        """
        if kind == "text" and example.choices:
            return _texts(example.choices)
        if kind != "label":
            return _Spans(passage_of(example), kind)
        choices = _choices(example)
        shares = (1 / len(choices),) * len(choices)
        return [Answer(index, choice, shares) for index, choice in enumerate(choices)]


def _drawn(example: Example, possible: Sequence[Answer]) -> Answer:
    """One of the answers, drawn by the example's id."""
    return possible[seeded_hash(0, "random answer", example.id) % len(possible)]


class _Spans(Sequence[Answer]):
    """All spans of 1 to ``LONGEST_RANDOM_SPAN`` words of a passage, made when asked for; without a word, no span.

    A span that would go beyond the end of the passage ends there.
    """

    def __init__(self, passage: str, kind: str) -> None:
        self._passage, self._kind = passage, kind
        self._words = [match.span() for match in re.finditer(r"\S+", passage)]

    def __len__(self) -> int:
        return LONGEST_RANDOM_SPAN * len(self._words) or 1

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        if not self._words:
            return Answer(None if self._kind == "span" else "", "")
        first, more = divmod(place, LONGEST_RANDOM_SPAN)
        start, end = self._words[first][0], self._words[min(first + more, len(self._words) - 1)][1]
        text = self._passage[start:end]
        return Answer([start, end] if self._kind == "span" else text, text)


class NoAnswer(Baseline):
    """No answer at all."""

    name = "no_answer"
    gives = frozenset({"span", "text"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """An empty text, or no span."""
        return [Answer(None if kind == "span" else "", "") for _ in examples]


class Copy(Baseline):
    """The passage itself, such as the source of a translation."""

    name = "copy"
    gives = frozenset({"text"})
    needs = frozenset({"prompt"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The passages, joined."""
        return _texts(passage_of(example) for example in examples)


class FirstSentence(Baseline):
    """The first sentence of the passage."""

    name = "first_sentence"
    gives = frozenset({"text"})
    needs = frozenset({"prompt"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The text before the first white space after ``.``, ``!`` or ``?``, or before the first line break."""
        passages = (passage_of(example).strip() for example in examples)
        return _texts(re.split(r"(?<=[.!?])\s|\n", passage, maxsplit=1)[0] for passage in passages)


class Mean(Baseline):
    """The mean of the right numbers."""

    name = "mean"
    gives = frozenset({"number"})
    needs = frozenset({"value"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The same number for all."""
        numbers = [example.value for example in examples if example.value is not None]
        mean = sum(sorted(numbers)) / len(numbers)
        return [Answer(mean, f"{mean:g}") for _ in examples]


class FirstHypothesis(Baseline):
    """The first choice, such as the likeliest hypothesis of a recogniser."""

    name = "first_hypothesis"
    gives = frozenset({"text"})
    needs = frozenset({"choices"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The first choice of each example."""
        return _texts(_choices(example)[0] for example in examples)


class Oracle(Baseline):
    """The choice with the fewest errors as the metric counts them; word errors where it counts none."""

    name = "oracle"
    gives = frozenset({"text"})
    needs = frozenset({"choices", "references"})

    def answers(self, examples: Sequence[Example], kind: str, errors: Errors) -> list[Answer]:
        """The best choice of each example, the first of equals."""
        return _texts(self._best(example, errors) for example in examples)

    def _best(self, example: Example, errors: Errors) -> str:
        counts: dict[str, float] = {}
        for text in dict.fromkeys(_choices(example)):
            count = errors(example, text)
            counts[text] = _plain_word_errors(example, text) if count is None else count
        return min(counts, key=lambda text: counts[text])


def _plain_word_errors(example: Example, text: str) -> float:
    if not example.references:
        raise DataError(f"example {example.id} has no references, so no choice is the best one")
    return float(word_errors(text, example.references)[0])


def _texts(texts: Iterable[str]) -> list[Answer]:
    return [Answer(text, text) for text in texts]
