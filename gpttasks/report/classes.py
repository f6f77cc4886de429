"""Classifications: the confusion matrix, and the calibration of the probabilities."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .charts import Axis, Tick
from .samples import ReportedSample, SampleSet
from .words import DASH, as_text, compact

MOST_CLASSES = 20
MOST_PAIRS = 20
SHADES = 9
BINS = 15
"""The default of ``calibration_error``."""


@dataclass(frozen=True)
class Cell:
    """A count, its share of its row as a shade from 0 to 9, and whether it is on the diagonal."""

    count: int
    shade: int
    right: bool


@dataclass(frozen=True)
class ConfusionRow:
    """The samples of one right class: a cell for each class that was answered."""

    word: str
    cells: list[Cell]
    total: int
    recall: str


@dataclass(frozen=True)
class Confusion:
    """How often each class got each answer: ``rows`` for up to 20 classes, beyond that only the most confused
    ``pairs``, as (right, answered, count, share of the right class).
    """

    words: list[str]
    rows: list[ConfusionRow]
    precisions: list[str]
    pairs: list[tuple[str, str, int, str]]
    left_out: int


def read_confusion(sample_set: SampleSet) -> Confusion | None:
    """The confusion of samples that all have the same choices; None for others, and if no right answer is known."""
    known = [sample for sample in sample_set.samples if sample.right is not None]
    words = _classes(sample_set, known)
    if not words:
        return None
    inside = set(words)
    counts = Counter(
        (as_text(one.right), one.sample.answer) for one in known if one.right in inside and one.sample.answer in inside
    )
    totals, answered = Counter[str](), Counter[str]()
    for (right, answer), count in counts.items():
        totals[right] += count
        answered[answer] += count
    left_out = len(sample_set.samples) - sum(counts.values())
    if len(words) > MOST_CLASSES:
        return Confusion(words, [], [], _pairs(counts, totals), left_out)
    rows = [_row(right, words, counts, totals[right]) for right in words]
    precisions = [_share(counts[word, word], answered[word]) for word in words]
    return Confusion(words, rows, precisions, [], left_out)


def _classes(sample_set: SampleSet, known: list[ReportedSample]) -> list[str]:
    """The classes in the order of the choices, which all samples must share; without choices, the words that occur."""
    if sample_set.kind != "label" or not known:
        return []
    choices = {sample.sample.choices for sample in sample_set.samples}
    if len(choices) > 1:
        return []
    (shared,) = choices
    return list(dict.fromkeys(shared)) or sorted({as_text(s.right) for s in known} | {s.sample.answer for s in known})


def _row(right: str, words: list[str], counts: Counter[tuple[str, str]], total: int) -> ConfusionRow:
    cells = []
    for word in words:
        count = counts[right, word]
        shade = max(1, round(SHADES * count / total)) if count else 0
        cells.append(Cell(count, shade, word == right))
    return ConfusionRow(right, cells, total, _share(counts[right, right], total))


def _pairs(counts: Counter[tuple[str, str]], totals: Counter[str]) -> list[tuple[str, str, int, str]]:
    wrong = [(pair, count) for pair, count in counts.items() if pair[0] != pair[1]]
    wrong.sort(key=lambda item: (-item[1], item[0]))
    return [(right, answer, count, _share(count, totals[right])) for (right, answer), count in wrong[:MOST_PAIRS]]


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}\N{NO-BREAK SPACE}%" if total else DASH


@dataclass(frozen=True)
class Bin:
    """Samples whose likeliest choice has a probability above ``low`` and up to ``high``, and their bars' positions.

    confidence, accuracy:
        their mean probability, and the share that is right.
    x, width, top, count_top:
        in SVG units: the left edge and width, the top of the accuracy's bar, and of the count's.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    x: float
    width: float
    top: float
    count_top: float
    mean_x: float
    mean_y: float
    label: str


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram above a strip of counts, on axes in SVG units; ``bins`` holds the bins with samples."""

    x: Axis
    y: Axis
    counts: Axis
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bins: list[Bin]
    n: int
    confidence: float
    accuracy: float


def read_calibration(sample_set: SampleSet) -> Calibration | None:
    """The calibration by the probability of the likeliest choice; None without probabilities or right answers."""
    pairs = [
        (s.confidence, not s.wrong) for s in sample_set.samples if s.confidence is not None and s.right is not None
    ]
    if sample_set.kind != "label" or not pairs:
        return None
    groups: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in pairs:
        groups.setdefault(_bin_of(confidence), []).append((confidence, right))
    across, up = Axis(0, 1, 56, 536), Axis(0, 1, 252, 12)
    counts = Axis(0, max(len(group) for group in groups.values()), 382, 318)
    bins = [_bin(index, groups[index], across, up, counts) for index in sorted(groups)]
    return Calibration(
        across,
        up,
        counts,
        across.ticks(5),
        up.ticks(5),
        bins,
        len(pairs),
        sum(confidence for confidence, _ in pairs) / len(pairs),
        sum(right for _, right in pairs) / len(pairs),
    )


def _bin_of(confidence: float) -> int:
    """The bin of a probability; a bin includes its upper edge."""
    edges = [edge / BINS for edge in range(1, BINS)]
    return sum(confidence > edge for edge in edges)


def _bin(index: int, group: list[tuple[float, bool]], across: Axis, up: Axis, counts: Axis) -> Bin:
    low, high, n = index / BINS, (index + 1) / BINS, len(group)
    confidence = sum(value for value, _ in group) / n
    accuracy = sum(right for _, right in group) / n
    x, end = across.place(low), across.place(high)
    return Bin(
        low,
        high,
        n,
        confidence,
        accuracy,
        x=round(x + 1.5, 2),
        width=round(end - x - 3, 2),
        top=up.place(accuracy),
        count_top=counts.place(n),
        mean_x=across.place(confidence),
        mean_y=up.place(confidence),
        label=compact(n),
    )
