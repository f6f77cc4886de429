"""The rules for metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..answer import Answer, AnswerKind, no_answer
from ..backbones.mock import Mock
from ..errors import PluginError, one_line
from ..example import Example
from ..metrics.base import declared_total, total_of
from ..metrics.evaluate_metric import needed_fields, read_fields
from ..metrics.rows import sample_rows
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .head_subject import known_kinds
from .partners import head_of, task_of
from .samples import HARD_TEXTS, sample_examples, shuffled
from .trial_run import trial, use

if TYPE_CHECKING:
    import numpy as np

    from ..metrics.base import Metric

IN_RUN = 40
"""The number of examples in the run."""
SIGMAS = 5
SAME = 1e-9


@dataclass(frozen=True)
class MetricSubject:
    """A metric with examples, right answers and random answers of one kind; ``known`` are all kinds of answer."""

    metric: Metric
    kind: AnswerKind
    known: Sequence[AnswerKind]
    examples: Sequence[Example]
    gold: Sequence[Answer]
    drawn: Sequence[Answer]

    def total(self, answers: Sequence[Answer], order: Sequence[int] | None = None) -> float:
        """The score of answers to the examples, optionally in another order."""
        return float(total_of(self.metric, self.rows(answers, order)))

    def rows(self, answers: Sequence[Answer], order: Sequence[int] | None = None) -> np.ndarray:
        """The statistics of the samples."""
        order = range(len(self.examples)) if order is None else order
        examples = [self.examples[place] for place in order]
        return sample_rows(self.metric, examples, [answers[place] for place in order], key=self.metric.name)


def check_metric(
    metric: Metric, examples: Sequence[Example] | None = None, answer_kinds: Iterable[AnswerKind] = ()
) -> list[Fault]:
    """The faults of a metric on examples with all the fields that it needs; None generates some.

    ``answer_kinds`` are those that no installed plugin registers. Raises ValueError for a metric that only takes
    answers that cannot be generated.
    """
    known = list(known_kinds(answer_kinds).values())
    generated = [kind for kind in known if kind.right is not None and kind.drawn is not None]
    kind = next((kind for kind in generated if kind.name in metric.takes), None)
    if kind is None or kind.right is None or kind.drawn is None:
        names = sorted(kind.name for kind in generated)
        raise ValueError(f"metric {metric.name!r} takes {sorted(metric.takes)}, expected one of {names}")
    examples = [_in_words(example) for example in sample_examples(200)] if examples is None else examples
    gold = [kind.right(example) for example in examples]
    drawn = [kind.drawn(examples, place) for place in range(len(examples))]
    subject = MetricSubject(metric, kind, known, examples, gold, drawn)
    return run_rules("metric", metric.name, lambda: subject, RULES)


def _in_words(example: Example) -> Example:
    """The example with a right answer of several words, for metrics that count n-grams; the label is unchanged."""
    text = f"The colour that is meant is {example.gold_text}."
    return replace(example, target=text, references=(text,))


@rule("compute from the example and the answer alone: nothing random, no counter")
def deterministic(subject: MetricSubject) -> Iterator[str]:
    """The same samples give the same statistics and the same total."""
    first, again = subject.rows(subject.drawn), subject.rows(subject.drawn)
    if first.shape != again.shape or (first != again).any():
        yield "got different statistics for the same answers, expected the same"
    elif not _same(float(total_of(subject.metric, first)), float(total_of(subject.metric, first))):
        yield "got a different total of the same rows, expected the same"


@rule("let total() treat all rows alike")
def order_does_not_matter(subject: MetricSubject) -> Iterator[str]:
    """The total does not depend on the order of the examples."""
    plain = subject.total(subject.drawn)
    other = subject.total(subject.drawn, shuffled(len(subject.examples)))
    if not _same(plain, other):
        yield f"got {plain} and, in another order, {other}, expected the same"


@rule("correct total(), or set scale to the lowest and highest possible value (None if there is none)")
def bounds(subject: MetricSubject) -> Iterator[str]:
    """The totals of all samples and of a single sample are within ``scale``."""
    low, high = subject.metric.scale
    for answers in (subject.gold, subject.drawn):
        rows = subject.rows(answers)
        for part in (rows, rows[:1], rows[-1:], rows[:7]):
            value = float(total_of(subject.metric, part))
            if _is_outside(value, low, high):
                yield f"got {value} from {len(part)} samples, expected it in the scale {low} to {high}"
                return


@rule("declare in statistic what total() is: the method of the interval depends on it")
def statistic_as_declared(subject: MetricSubject) -> Iterator[str]:
    """The total is what ``statistic`` says; one that is a mean of samples is declared as a mean or a share."""
    metric, statistic = subject.metric, subject.metric.statistic
    rows = subject.rows(subject.drawn)
    parts = (rows, rows[: len(rows) // 2], rows[::3], subject.rows(subject.gold))
    is_mean = all(_same(float(total_of(metric, part)), float(part[:, 0].mean())) for part in parts)
    is_binary = all(((part[:, 0] == 0) | (part[:, 0] == 1)).all() for part in parts)
    if statistic == "calibration":
        yield from _other_than_calibration(metric, parts)
    elif statistic in ("share", "mean") and not is_mean:
        yield f"got a total that is not the mean of the first numbers of the samples, expected it for a {statistic}"
    elif statistic == "share" and not is_binary:
        yield "got samples whose first number is neither 0 nor 1, expected only these for a share"
    elif statistic == "corpus" and is_mean:
        better = '"share" or "mean"' if is_binary else '"mean"'
        yield f"got a total that is the mean of the first numbers of the samples, expected statistic = {better}"
    elif statistic == "ratio" and not _same(float(total_of(metric, 2 * rows)), float(total_of(metric, rows))):
        yield "got another total for doubled numbers, expected the same for a ratio of two sums"


def _other_than_calibration(metric: Metric, parts: Sequence[np.ndarray]) -> Iterator[str]:
    for part in parts:
        try:
            expected = declared_total(metric, part)
        except PluginError as error:
            yield one_line(error)
            return
        if not _same(float(total_of(metric, part)), float(expected or 0.0)):
            yield f"got a total that is not the calibration error {expected} of its samples"
            return


@rule("correct sample() and total(), or set higher_is_better")
def gold_scores_best(subject: MetricSubject) -> Iterator[str]:
    """Right answers score better than random ones."""
    if not subject.metric.needs & {"label", "labels", "value", "references", "target"}:
        return  # it does not compare with a right answer
    gold, drawn = subject.total(subject.gold), subject.total(subject.drawn)
    if not (gold > drawn if subject.metric.higher_is_better else gold < drawn):
        better = "higher" if subject.metric.higher_is_better else "lower"
        yield f"got {gold} for right answers and {drawn} for random ones, expected the {better} one for right answers"


@rule("count a sample only if its answer is right")
def random_at_chance(subject: MetricSubject) -> Iterator[str]:
    """A metric of labels that gives 1 or 0 per sample gives 1 for random answers as often as by chance."""
    rows = subject.rows(subject.drawn)
    counts = {len(example.choices) for example in subject.examples}
    if (
        "label" not in subject.metric.takes
        or rows.shape[1] != 1
        or len(counts) != 1
        or ((rows != 0) & (rows != 1)).any()
    ):
        return
    (choices,) = counts
    chance, n = 1 / choices, len(rows)
    bound = SIGMAS * math.sqrt(chance * (1 - chance) / n)
    share = float(rows.mean())
    if abs(share - chance) > bound:
        yield f"got {share:.3f} for random answers among {choices} choices, expected {chance:.3f} ± {bound:.3f}"


@rule("name each field of the example that it reads in needs or optional, and each field of the answer in reads")
def reads_what_it_names(subject: MetricSubject) -> Iterator[str]:
    """It reads only the fields ``needs`` and ``optional`` of an example, and only those in ``reads`` of an answer."""
    metric = subject.metric
    expected = subject.rows(subject.drawn)
    named = metric.needs | metric.optional
    bare = [needed_fields(example, named) for example in subject.examples]
    answers = [read_fields(answer, metric.reads) for answer in subject.drawn]
    expectation = f"expected the same, since needs and optional are {sorted(named)} and reads is {sorted(metric.reads)}"
    try:
        statistics = sample_rows(metric, bare, answers, key=metric.name)
    except Exception as error:
        yield f"without the fields that it does not name: got {error_text(error)}, {expectation}"
        return
    if statistics.shape != expected.shape or (statistics != expected).any():
        yield f"without the fields that it does not name: got different statistics, {expectation}"


@rule("raise ValueError for an answer that cannot be scored, and avoid division by zero for empty text")
def hard_texts(subject: MetricSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left answers are scored or refused with ValueError."""
    if not subject.metric.takes & {"text", "span"}:
        return
    low, high = subject.metric.scale
    for what, text in HARD_TEXTS.items():
        one = replace(subject.examples[0], references=(text or "nothing",), target=text)
        answer = Answer([0, len(text)] if "text" not in subject.metric.takes else text, text)
        try:
            value = float(
                total_of(subject.metric, sample_rows(subject.metric, [one], [answer], key=subject.metric.name))
            )
        except Exception as error:
            if not (is_refusal(error) and isinstance(error.__cause__, ValueError)):
                yield f"{what} text: got {error_text(error)}, expected a score or ValueError"
            continue
        if _is_outside(value, low, high):
            yield f"{what} text: got {value}, expected it in the scale {low} to {high}"


@rule("let worst or worst_of() give as many statistics as sample(), and let no answer score worse than them")
def worst_is_worst(subject: MetricSubject) -> Iterator[str]:
    """If the metric has a worst value, no answer to an example scores worse, and right answers score better."""
    metric = subject.metric
    if not metric.has_worst:
        return
    drawn, gold = subject.rows(subject.drawn), subject.rows(subject.gold)
    try:
        worst = subject.rows([no_answer("it does not fit the context")] * len(subject.examples))
    except Exception as error:
        yield f"got {error_text(error)}, expected statistics"
        return
    if worst.shape != drawn.shape:
        yield f"got {worst.shape[1]} statistics, expected {drawn.shape[1]}, as from sample()"
        return
    sign = 1 if metric.higher_is_better else -1
    for rows in (drawn, gold):
        for place in range(len(rows)):
            lowest, other = (float(total_of(metric, one[place : place + 1])) for one in (worst, rows))
            if sign * (lowest - other) > SAME:
                id = subject.examples[place].id
                yield f"got {other} for an answer to example {id}, which is worse than the worst value {lowest}"
                return
    lowest, best = float(total_of(metric, worst)), float(total_of(metric, gold))
    if sign * (lowest - best) >= 0:
        yield f"got {best} for right answers and the worst value {lowest}, expected right answers to score better"


@rule("compute sample() from the example and the answer alone, so that it can be computed again")
def round_trip(subject: MetricSubject) -> Iterator[str]:
    """The score and the statistics in a run's folder are those of its answers."""
    metric, examples, answers = subject.metric, subject.examples[:IN_RUN], subject.drawn[:IN_RUN]
    answered = {example.id: answer for example, answer in zip(examples, answers, strict=True)}
    task, head = task_of(examples, len(examples)), head_of(answered, subject.kind.name)
    keys = {
        "backbone": {"use": Mock.name},
        "task": {"use": task.name},
        "head": {"use": head.name},
        "score": {"metrics": [{**use(metric), "as": "checked"}]},
    }
    fresh = type(metric)(metric.options)
    rows = sample_rows(fresh, examples, answers, key=metric.name)
    expected = float(fresh.total(rows))
    with trial((task, head, type(metric)), keys, subject.known) as run:
        score, samples = run.run.scores["checked"], run.samples
    value = float("nan") if score.value is None else score.value
    if not _same(value, expected):
        yield f"got {score.value} in a run and {expected} for the same answers, expected the same"
    if [list(sample.statistics["checked"]) for sample in samples] != rows.tolist():
        yield "got different statistics in samples.parquet than for the same answers, expected the same"


def _is_outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low - SAME) or (high is not None and value > high + SAME)


def _same(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=SAME, abs_tol=1e-12) or (math.isnan(left) and math.isnan(right))


RULES = (
    deterministic,
    order_does_not_matter,
    bounds,
    statistic_as_declared,
    gold_scores_best,
    random_at_chance,
    reads_what_it_names,
    hard_texts,
    worst_is_worst,
    round_trip,
)
