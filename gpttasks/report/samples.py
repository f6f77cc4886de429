"""The scored samples, read for people: what was asked, what was right, what was answered, and which were worst."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .words import DASH, as_list, as_number, as_text, number, probability, shorten

SampleKind = Literal["label", "nll", "text", "number", "labels"]

FIRST, WORST = 200, 500
LONGEST_TEXT = 20_000
"""Characters of one text that the page shows: a book as a sample would make it unreadable; the Parquet file has all."""
LONGEST_SNIPPET = 140
MOST_OPTIONS = 20


@dataclass(frozen=True)
class Sample:
    """One scored sample.

    number:
        its place among all, from 1.
    right:
        the right answer; None where it is not known.
    options:
        (word, probability) of each choice; empty where the answer has no probabilities.
    right_probability:
        the probability of the right answer, where both are known.
    wrong:
        whether the answer is known to be wrong.
    distance:
        how far a text or a number is from the right one: the share of words that differ, or the absolute difference.
    nats, tokens, bytes:
        the likelihood of a text that was only read; None for other samples.
    """

    number: int
    row: Mapping[str, Any]
    answer: str
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
        """How hard the text was; None where its tokens are not known."""
        return self.nats / self.tokens if self.nats is not None and self.tokens else None


@dataclass(frozen=True)
class SampleSet:
    """All samples of a run and their kind: ``label`` has choices, ``labels`` several right ones, ``number`` a number,
    ``nll`` is text that was read, ``text`` the rest.
    """

    kind: SampleKind
    samples: list[Sample]

    @property
    def first(self) -> list[Sample]:
        """The first 200."""
        return self.samples[:FIRST]

    @property
    def errors(self) -> int:
        """How many are wrong."""
        return sum(sample.wrong for sample in self.samples)

    @property
    def worst(self) -> list[Sample]:
        """Up to 500: wrong answers, those first whose right answer had the least probability, or that are furthest from
        it; texts that were read by nats a token.
        """
        if self.kind == "nll":
            return sorted(
                self.samples, key=lambda sample: (-(sample.nats_per_token or sample.nats or 0.0), sample.number)
            )[:WORST]
        return sorted((sample for sample in self.samples if sample.wrong), key=_badness)[:WORST]


def _badness(sample: Sample) -> tuple[float, int]:
    if sample.distance is not None:
        return -sample.distance, sample.number
    if sample.right_probability is not None:
        return sample.right_probability, sample.number
    return 1 - (sample.confidence or 0.0), sample.number  # a confident error, where the right one's is not known


def read_samples(rows: Sequence[Mapping[str, Any]]) -> SampleSet:
    """The samples from the rows of ``samples.parquet``; columns that are missing or null are taken as not known."""
    if rows and all(_is_reading(row) for row in rows):
        return SampleSet("nll", [_reading(place, row) for place, row in enumerate(rows, 1)])
    if rows and all(_is_number(row) for row in rows):
        return SampleSet("number", [_number(place, row) for place, row in enumerate(rows, 1)])
    if rows and all(_is_labels(row) for row in rows):
        return SampleSet("labels", [_answered(place, {**row, "scores": []}) for place, row in enumerate(rows, 1)])
    samples = [_answered(place, row) for place, row in enumerate(rows, 1)]
    return SampleSet("label" if any(sample.options for sample in samples) else "text", samples)


def _json(row: Mapping[str, Any]) -> Any:
    try:
        return json.loads(row.get("answer") or "null")
    except (TypeError, ValueError):
        return None


def _is_number(row: Mapping[str, Any]) -> bool:
    """Whether the answer is a number that also stands there as text, without any choices."""
    value = _json(row)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or as_list(row.get("choices")):
        return False
    return bool(row.get("text")) and as_number(row.get("text")) is not None


def _number(place: int, row: Mapping[str, Any]) -> Sample:
    right, answer = as_number(row.get("target")), float(_json(row))
    distance = None if right is None else abs(answer - right)
    return Sample(place, row, as_text(row.get("text")), _right(row), (), None, bool(distance), distance)


def _is_labels(row: Mapping[str, Any]) -> bool:
    """Whether the answer is a list of indices into the choices."""
    value, choices = _json(row), as_list(row.get("choices"))
    return isinstance(value, list) and bool(choices) and all(isinstance(index, int) for index in value)


def _right(row: Mapping[str, Any]) -> str | None:
    references = [as_text(reference) for reference in as_list(row.get("references"))]
    return as_text(row["target"]) if row.get("target") is not None else next(iter(references), None)


def _distance(answer: str, right: Sequence[str]) -> float:
    """1 less the F1 of the words that the answer shares with the nearest right text: where to look first, no score."""
    words = Counter(answer.lower().split())
    shares = [0.0]
    for text in right:
        other = Counter(text.lower().split())
        both = words.total() + other.total()
        shares.append(2 * (words & other).total() / both if both else 1.0)
    return 1 - max(shares)


def _is_reading(row: Mapping[str, Any]) -> bool:
    """Whether the answer is a likelihood: a number that no words and no probabilities stand beside."""
    return not row.get("text") and as_number(row.get("answer")) is not None and not _options(row)


def _reading(place: int, row: Mapping[str, Any]) -> Sample:
    scores = [as_number(value) for value in as_list(row.get("scores"))]
    tokens, bytes_ = (scores[1], scores[2]) if len(scores) == 3 else (None, None)
    return Sample(place, row, "", None, (), None, False, None, as_number(row.get("answer")), tokens, bytes_)


def _answered(place: int, row: Mapping[str, Any]) -> Sample:
    answer = as_text(row["text"]) if row.get("text") is not None else as_text(row.get("answer"))
    references = [as_text(reference) for reference in as_list(row.get("references"))]
    right = _right(row)
    options = _options(row)
    distance = None
    if options:
        wrong = right is not None and answer != right
    else:
        distance = None if right is None else _distance(answer, (right, *references))
        wrong = right is not None and answer.strip() not in {text.strip() for text in (right, *references)}
    known = dict(options) if as_list(row.get("choices")) else {}
    return Sample(place, row, answer, right, options, known.get(right) if right is not None else None, wrong, distance)


def _options(row: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """The choices with their probabilities; empty where the scores are no probabilities or do not fit the choices."""
    values = [as_number(value) for value in as_list(row.get("scores"))]
    shares = [value for value in values if value is not None and -1e-6 <= value <= 1 + 1e-6]
    words = [as_text(word) for word in as_list(row.get("choices"))]
    if len(shares) < len(values) or abs(sum(shares) - 1) > 1e-3 or (words and len(words) != len(shares)):
        return ()
    words = words or [f"option {index}" for index in range(1, len(shares) + 1)]
    return tuple((word, min(1.0, max(0.0, share))) for word, share in zip(words, shares, strict=True))


@dataclass(frozen=True)
class SampleView:
    """A sample as texts: ``cells`` of its table row, and what stands in its details."""

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
}


def view(sample: Sample, kind: SampleKind) -> SampleView:
    """What the page shows of a sample. A cell is (text, whether it comes from the data)."""
    row = sample.row
    asked = as_text(row.get("input"))
    cells: list[tuple[str, bool]]
    if kind == "nll":
        cells = [(number(value), False) for value in (sample.nats_per_token, sample.nats, sample.tokens)]
    else:
        right = DASH if sample.right is None else shorten(sample.right, 60)
        cells = [(right, True), (shorten(sample.answer, 60) or DASH, True)]
        if kind == "label":
            cells.append((probability(sample.right_probability), False))
        if kind in ("text", "number"):
            off = sample.distance
            cells.append((DASH if off is None else f"{off:.0%}" if kind == "text" else number(off), False))
    ranked = sorted(sample.options, key=lambda option: -option[1])
    shown = [option for index, option in enumerate(ranked) if index < MOST_OPTIONS or option[0] == sample.right]
    return SampleView(
        sample.number,
        sample.wrong,
        shorten(asked, LONGEST_SNIPPET) or "(empty input)",
        cells,
        _facts(sample),
        _texts(sample, asked, kind),
        [(word, probability(value), value) for word, value in shown],
        len(ranked) - len(shown),
    )


def _facts(sample: Sample) -> list[tuple[str, str]]:
    row = sample.row
    cut = row.get("truncated")
    cut_tokens = None if isinstance(cut, bool) else as_number(cut)
    facts = [
        ("Id", as_text(row.get("id"))),
        ("Group", as_text(row.get("group"))),
        ("Split", as_text(row.get("set"))),
        (
            "Cut",
            f"{number(cut_tokens)} tokens of the passage"
            if cut_tokens
            else "the passage was cut"
            if cut is True
            else "",
        ),
        ("Shots", number(row.get("shots")) if as_number(row.get("shots")) else ""),
        ("Bytes", number(sample.bytes) if sample.bytes is not None else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _texts(sample: Sample, asked: str, kind: SampleKind) -> list[tuple[str, str]]:
    texts = [("Input", _shown(asked))]
    if kind != "nll":
        texts += [("Right", DASH if sample.right is None else _shown(sample.right)), ("Answer", _shown(sample.answer))]
        references = [as_text(reference) for reference in as_list(sample.row.get("references"))]
        texts += [("Also right", _shown(text)) for text in references[:MOST_OPTIONS] if text != sample.right]
    return texts


def _shown(text: str) -> str:
    left = len(text) - LONGEST_TEXT
    if left <= 0:
        return text
    end = LONGEST_TEXT // 10
    note = f"[{left:,} characters are left out here; samples.parquet has them]"
    return f"{text[: LONGEST_TEXT - end]}\n{note}\n{text[-end:]}"
