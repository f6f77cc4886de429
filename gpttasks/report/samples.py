"""The scored samples for the report: inputs, right answers, answers, and the worst ones first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..records.samples import Sample
from .words import DASH, as_number, number, probability, shorten

SampleKind = Literal["label", "nll", "target", "text", "number", "labels"]

FIRST, WORST = 200, 500
LONGEST_TEXT = 20_000
"""The maximum number of characters that the page shows of one text; the Parquet file has the whole text."""
LONGEST_SNIPPET = 140
MOST_OPTIONS = 20


@dataclass(frozen=True)
class ReportedSample:
    """A sample, and what the report says about it.

    number:
        its position among all samples, counted from 1.
    right:
        the right answer; None if it is not known.
    options:
        (choice, probability) for each choice; empty if the answer has no probabilities.
    right_probability:
        the probability of the right answer, if both are known.
    wrong:
        whether the answer is known to be wrong.
    distance:
        the distance of a text or a number from the right one: the share of words that differ, or the absolute
        difference.
    nats, tokens, bytes:
        the likelihood of a text; None for other samples.
    """

    number: int
    sample: Sample
    right: str | None
    options: tuple[tuple[str, float], ...]
    right_probability: float | None
    wrong: bool
    distance: float | None = None
    nats: float | None = None
    tokens: float | None = None
    bytes: float | None = None

    @property
    def confidence(self) -> float | None:
        """The probability of the likeliest choice."""
        return max((value for _, value in self.options), default=None)

    @property
    def nats_per_token(self) -> float | None:
        """How unlikely the text is; None if its number of tokens is unknown."""
        return self.nats / self.tokens if self.nats is not None and self.tokens else None


@dataclass(frozen=True)
class Judged:
    """Which answers are right by the recipe's first metric.

    metric:
        the key of its score.
    right:
        one for each sample, in their order; None for a metric that does not tell right from wrong, such as log-loss.
    """

    metric: str
    right: Sequence[bool] | None


@dataclass(frozen=True)
class SampleSet:
    """All samples of a run and their kind: ``label`` has choices, ``labels`` several right ones, ``number`` a number,
    ``nll`` is text that was read, ``target`` a text whose likelihood after the prompt was computed, ``text`` the rest.

    judge, not_judged:
        the key of the metric that says what is wrong, or of the first metric, which does not; else empty.
    """

    kind: SampleKind
    samples: list[ReportedSample]
    judge: str = ""
    not_judged: str = ""

    @property
    def first(self) -> list[ReportedSample]:
        """The first 200 samples."""
        return self.samples[:FIRST]

    @property
    def errors(self) -> int:
        """The number of wrong answers."""
        return sum(sample.wrong for sample in self.samples)

    @property
    def worst(self) -> list[ReportedSample]:
        """Up to 500 samples: the wrong answers, those with the least likely right answer or furthest from it first; for
        likelihoods, the texts with the most nats per token.
        """
        if self.kind == "nll":
            return sorted(
                self.samples, key=lambda sample: (-(sample.nats_per_token or sample.nats or 0.0), sample.number)
            )[:WORST]
        return sorted((sample for sample in self.samples if sample.wrong), key=_badness)[:WORST]


def _badness(sample: ReportedSample) -> tuple[float, int]:
    if sample.distance is not None:
        return -sample.distance, sample.number
    if sample.right_probability is not None:
        return sample.right_probability, sample.number
    return 1 - (sample.confidence or 0.0), sample.number  # a confident error; the right answer's probability is unknown


def report_samples(samples: Sequence[Sample], judged: Judged | None = None) -> SampleSet:
    """The samples as the report shows them. Their kind is that which all of them can be.

    What is wrong is what ``judged`` says; where it does not, an answer that is not the right one word for word.
    """
    found = _by_kind(samples)
    if judged is None or judged.right is None:
        return replace(found, not_judged=judged.metric if judged else "")
    shown = [replace(one, wrong=not right) for one, right in zip(found.samples, judged.right, strict=True)]
    return SampleSet(found.kind, shown, judge=judged.metric)


def _by_kind(samples: Sequence[Sample]) -> SampleSet:
    given = [one for one in samples if not one.is_missing]
    if given and all(_is_likelihood(one) and one.target is not None for one in given):
        return SampleSet("target", [_likelihood(place, one) for place, one in enumerate(samples, 1)])
    if given and all(_is_likelihood(one) for one in given):
        return SampleSet("nll", [_likelihood(place, one) for place, one in enumerate(samples, 1)])
    if given and all(_is_number(one) for one in given):
        return SampleSet("number", [_number(place, one) for place, one in enumerate(samples, 1)])
    if given and all(_is_labels(one) for one in given):
        return SampleSet("labels", [_answered(place, one, ()) for place, one in enumerate(samples, 1)])
    reported = [_answered(place, one, _options(one)) for place, one in enumerate(samples, 1)]
    return SampleSet("label" if any(one.options for one in reported) else "text", reported)


def _is_number(sample: Sample) -> bool:
    """Whether the answer is a number, shown as text, without choices."""
    value = sample.answer_value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or sample.choices:
        return False
    return as_number(sample.answer) is not None


def _number(place: int, sample: Sample) -> ReportedSample:
    right = sample.value if sample.value is not None else as_number(sample.target)
    if sample.is_missing:
        return ReportedSample(place, sample, sample.right, (), None, True)
    distance = None if right is None else abs(float(sample.answer_value) - right)
    shown = sample.right if sample.right is not None or right is None else f"{right:g}"
    return ReportedSample(place, sample, shown, (), None, bool(distance), distance)


def _is_labels(sample: Sample) -> bool:
    """Whether the answer is a list of indices into the choices."""
    value = sample.answer_value
    return isinstance(value, list) and bool(sample.choices) and all(isinstance(index, int) for index in value)


def _distance(answer: str, right: Sequence[str]) -> float:
    """1 minus the word F1 of the answer and the nearest right text: for sorting, not a score."""
    words = Counter(answer.lower().split())
    shares = [0.0]
    for text in right:
        other = Counter(text.lower().split())
        both = words.total() + other.total()
        shares.append(2 * (words & other).total() / both if both else 1.0)
    return 1 - max(shares)


def _is_likelihood(sample: Sample) -> bool:
    """Whether the answer is a likelihood: a number without probabilities, and without text if there is no target."""
    value = sample.answer_value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and not _options(sample) and (not sample.answer or "greedy" in sample.detail)


def _likelihood(place: int, sample: Sample) -> ReportedSample:
    if sample.is_missing:
        return ReportedSample(place, sample, sample.target, (), None, sample.target is not None)
    nats = float(sample.answer_value)
    tokens, bytes_ = sample.scores[1:] if len(sample.scores) == 3 else (None, None)
    if sample.target is None:
        return ReportedSample(place, sample, None, (), None, False, None, nats, tokens, bytes_)
    wrong, right_probability = not sample.detail.get("greedy"), math.exp(-max(nats, 0.0))
    return ReportedSample(place, sample, sample.target, (), right_probability, wrong, None, nats, tokens, bytes_)


def _answered(place: int, sample: Sample, options: tuple[tuple[str, float], ...]) -> ReportedSample:
    answer, right = sample.answer, sample.right
    distance = None
    if options:
        wrong = right is not None and answer != right
    else:
        distance = None if right is None else _distance(answer, (right, *sample.references))
        wrong = right is not None and answer.strip() not in {text.strip() for text in (right, *sample.references)}
    wrong = wrong or sample.is_missing
    probabilities = dict(options) if sample.choices else {}
    right_probability = probabilities.get(right) if right is not None else None
    return ReportedSample(place, sample, right, options, right_probability, wrong, distance)


def _options(sample: Sample) -> tuple[tuple[str, float], ...]:
    """The choices with their probabilities; empty if the scores are not probabilities or do not fit the choices."""
    shares = [share for share in sample.scores if -1e-6 <= share <= 1 + 1e-6]
    words = sample.choices
    if len(shares) < len(sample.scores) or abs(sum(shares) - 1) > 1e-3 or (words and len(words) != len(shares)):
        return ()
    words = words or tuple(f"option {index}" for index in range(1, len(shares) + 1))
    return tuple((word, min(1.0, max(0.0, share))) for word, share in zip(words, shares, strict=True))


@dataclass(frozen=True)
class SampleView:
    """A sample as texts: ``cells`` of its table row, and the content of its details."""

    number: int
    wrong: bool
    snippet: str
    cells: list[tuple[str, bool]]
    facts: list[tuple[str, str]]
    texts: list[tuple[str, str]]
    options: list[tuple[str, str, float]]
    options_left: int


COLUMNS: dict[SampleKind, tuple[str, ...]] = {
    "label": ("Right", "Answer", "p(right)"),
    "text": ("Right", "Answer", "Other words"),
    "labels": ("Right", "Answer"),
    "number": ("Right", "Answer", "Off by"),
    "nll": ("Nats per token", "Nats", "Tokens"),
    "target": ("Right", "Preferred", "p(right)", "Nats"),
}


def view(sample: ReportedSample, kind: SampleKind) -> SampleView:
    """What the page shows of a sample. A cell is (text, whether it comes from the data)."""
    input_text = sample.sample.input
    cells: list[tuple[str, bool]]
    if kind == "nll":
        cells = [(number(value), False) for value in (sample.nats_per_token, sample.nats, sample.tokens)]
    else:
        right = DASH if sample.right is None else shorten(sample.right, 60)
        cells = [(right, True), (shorten(sample.sample.answer, 60) or DASH, True)]
        if kind in ("label", "target"):
            cells.append((probability(sample.right_probability), False))
        if kind in ("text", "number"):
            off = sample.distance
            cells.append((DASH if off is None else f"{off:.0%}" if kind == "text" else number(off), False))
        if kind == "target":
            cells.append((number(sample.nats), False))
    ranked = sorted(sample.options, key=lambda option: -option[1])
    shown = [option for index, option in enumerate(ranked) if index < MOST_OPTIONS or option[0] == sample.right]
    return SampleView(
        sample.number,
        sample.wrong,
        shorten(input_text, LONGEST_SNIPPET) or "(empty input)",
        cells,
        _facts(sample),
        _texts(sample, input_text, kind),
        [(word, probability(value), value) for word, value in shown],
        len(ranked) - len(shown),
    )


def _facts(sample: ReportedSample) -> list[tuple[str, str]]:
    one = sample.sample
    facts = [
        ("Id", one.id),
        ("Group", one.group or ""),
        ("Split", one.set),
        ("Not asked", one.not_asked),
        ("Cut", f"{number(one.truncated)} tokens of the passage" if one.truncated else ""),
        ("Shots", ", ".join(one.shot_ids)),
        ("Tokens", number(sample.tokens) if sample.right is not None and sample.tokens is not None else ""),
        ("Bytes", number(sample.bytes) if sample.bytes is not None else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _texts(sample: ReportedSample, input_text: str, kind: SampleKind) -> list[tuple[str, str]]:
    texts = [("Input", _shown(input_text))]
    if kind != "nll":
        answer = sample.sample.answer
        answered = "Preferred" if kind == "target" else "Answer"
        texts += [("Right", DASH if sample.right is None else _shown(sample.right)), (answered, _shown(answer))]
        references = sample.sample.references
        texts += [("Also right", _shown(text)) for text in references[:MOST_OPTIONS] if text != sample.right]
        texts += [(f"Read by {key}", _shown(text)) for key, text in sample.sample.texts.items()]
    return texts


def _shown(text: str) -> str:
    left = len(text) - LONGEST_TEXT
    if left <= 0:
        return text
    end = LONGEST_TEXT // 10
    note = f"[{left:,} characters are left out here; samples.parquet has them]"
    return f"{text[: LONGEST_TEXT - end]}\n{note}\n{text[-end:]}"
