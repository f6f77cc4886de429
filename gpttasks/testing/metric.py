"""The rules for metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..answer import Answer
from ..metrics.rows import sample_rows
from ..tasks.example import Example, seeded_hash
from .faults import Fault, refused, run_rules, told
from .samples import HARD_TEXTS, sample_examples, shuffled

if TYPE_CHECKING:
    import numpy as np

    from ..metrics.base import Metric

DRIVEN = frozenset({"label", "text", "span", "number", "labels", "nll"})
"""The kinds of answer that can be made up."""
SIGMAS = 5
SAME = 1e-9


@dataclass(frozen=True)
class MetricSubject:
    """A metric with examples, their right answers and random ones."""

    metric: Metric
    examples: Sequence[Example]
    gold: Sequence[Answer]
    drawn: Sequence[Answer]

    def total(self, answers: Sequence[Answer], order: Sequence[int] | None = None) -> float:
        """The score of some answers to the examples, which may be put in another order."""
        return float(self.metric.total(self.rows(answers, order)))

    def rows(self, answers: Sequence[Answer], order: Sequence[int] | None = None) -> np.ndarray:
        """The statistics of the samples."""
        order = range(len(self.examples)) if order is None else order
        examples = [self.examples[place] for place in order]
        return sample_rows(self.metric, examples, [answers[place] for place in order], key=self.metric.name)


def check_metric(metric: Metric, examples: Sequence[Example] | None = None) -> list[Fault]:
    """The faults of a metric on examples with all the fields that it needs; None generates some.

    Raises ValueError for a metric that takes only answers that cannot be made up.
    """
    kind = next((kind for kind in ("label", "text", "number", "labels", "nll", "span") if kind in metric.takes), None)
    if kind is None:
        raise ValueError(f"metric {metric.name!r} takes {sorted(metric.takes)}, wanted one of {sorted(DRIVEN)}")
    examples = sample_examples(200) if examples is None else examples
    gold = [_answer(example, kind, None) for example in examples]
    drawn = [_answer(example, kind, seeded_hash(5, example.id, str(n))) for n, example in enumerate(examples)]
    return run_rules("metric", metric.name, MetricSubject(metric, examples, gold, drawn), RULES)


def _answer(example: Example, kind: str, drawn: int | None) -> Answer:
    """The right answer, or one drawn by a number."""
    label, choices = int(example.label or 0), example.choices or ("",)
    pick = label if drawn is None else drawn % len(choices)
    if kind == "number":
        value = float(example.label or 0) if drawn is None else drawn % 1000 / 100
        return Answer(value, str(value))
    if kind == "nll":
        nats = 2.0 if drawn is None else 20.0 + drawn % 50
        return Answer(nats, "", (nats, 8.0, 20.0), {"greedy": drawn is None})
    if kind == "labels":
        return Answer([pick], choices[pick], tuple(float(place == pick) for place in range(len(choices))))
    if kind == "label":
        sure, rest = 0.94, 0.06 / max(len(choices) - 1, 1)
        scores = tuple(sure if place == pick else rest for place in range(len(choices)))
        detail = {"logprobs": [20 * math.log(score) for score in scores], "tokens": [1] * len(choices)}
        return Answer(pick, choices[pick], scores, detail)
    text = (example.gold_text or "") if drawn is None else choices[pick]
    return Answer([0, len(text)] if kind == "span" else text, text)


def deterministic(subject: MetricSubject) -> Iterator[str]:
    """The same samples give the same statistics and the same total."""
    first, again = subject.rows(subject.drawn), subject.rows(subject.drawn)
    if first.shape != again.shape or (first != again).any():
        yield "got other statistics for the same answers, wanted the same"
    elif not _same(float(subject.metric.total(first)), float(subject.metric.total(first))):
        yield "got another total of the same rows, wanted the same"


def order_does_not_matter(subject: MetricSubject) -> Iterator[str]:
    """The total does not depend on the order of the examples."""
    plain = subject.total(subject.drawn)
    other = subject.total(subject.drawn, shuffled(len(subject.examples)))
    if not _same(plain, other):
        yield f"got {plain} and, in another order, {other}, wanted the same"


def bounds(subject: MetricSubject) -> Iterator[str]:
    """Totals are within ``scale``, of all samples and of a single one."""
    low, high = subject.metric.scale
    for answers in (subject.gold, subject.drawn):
        rows = subject.rows(answers)
        for part in (rows, rows[:1], rows[-1:], rows[:7]):
            value = float(subject.metric.total(part))
            outside = (low is not None and value < low - SAME) or (high is not None and value > high + SAME)
            if outside and not math.isnan(value):
                yield f"got {value} from {len(part)} samples, wanted it in the scale {low} to {high}"
                return


def gold_scores_best(subject: MetricSubject) -> Iterator[str]:
    """Right answers score no worse than random ones."""
    if not subject.metric.needs & {"label", "references", "target", "scores"}:
        return  # it compares with no right answer
    gold, drawn = subject.total(subject.gold), subject.total(subject.drawn)
    if not (gold >= drawn if subject.metric.higher_is_better else gold <= drawn):
        better = "higher" if subject.metric.higher_is_better else "lower"
        yield f"got {gold} for right answers and {drawn} for random ones, wanted the {better} one for right answers"


def random_at_chance(subject: MetricSubject) -> Iterator[str]:
    """A metric of labels that says 1 or 0 for a sample says 1 of random ones as often as chance has it."""
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
        yield f"got {share:.3f} for random answers among {choices} choices, wanted {chance:.3f} ± {bound:.3f}"


def reads_what_it_names(subject: MetricSubject) -> Iterator[str]:
    """It reads no field of an example beyond ``needs``, and none of an answer beyond ``reads``."""
    metric = subject.metric
    bare = [_bare(example, metric.needs) for example in subject.examples]
    answers = [_bare_answer(answer, metric.reads) for answer in subject.drawn]
    wanted = subject.rows(subject.drawn)
    hint = f"wanted the same, since needs is {sorted(metric.needs)} and reads is {sorted(metric.reads)}"
    try:
        found = sample_rows(metric, bare, answers, key=metric.name)
    except Exception as error:
        yield f"without the fields that it does not name got {told(error)}, {hint}"
        return
    if found.shape != wanted.shape or (found != wanted).any():
        yield f"without the fields that it does not name got other statistics, {hint}"


def hard_texts(subject: MetricSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left answers are scored, or refused with ValueError."""
    if not subject.metric.takes & {"text", "span"}:
        return
    low, high = subject.metric.scale
    for what, text in HARD_TEXTS.items():
        one = replace(subject.examples[0], references=(text or "nothing",), target=text)
        answer = Answer([0, len(text)] if "text" not in subject.metric.takes else text, text)
        try:
            value = float(subject.metric.total(sample_rows(subject.metric, [one], [answer], key=subject.metric.name)))
        except Exception as error:
            if not (refused(error) and isinstance(error.__cause__, ValueError)):
                yield f"{what} text: got {told(error)}, wanted a score or ValueError"
            continue
        if (low is not None and value < low - SAME) or (high is not None and value > high + SAME):
            yield f"{what} text: got {value}, wanted it in the scale {low} to {high}"


def _bare(example: Example, needs: frozenset[str]) -> Example:
    """The example with no more than the fields of ``needs``."""
    kept = {name: getattr(example, name) for name in needs if hasattr(example, name)}
    return Example(**kept).marked(id=example.id, group=None, input_digest="")


def _bare_answer(answer: Answer, reads: frozenset[str]) -> Answer:
    kept = {name: getattr(answer, name) for name in reads}
    return Answer(**({"value": None} | kept))


def _same(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=SAME, abs_tol=1e-12) or (math.isnan(left) and math.isnan(right))


RULES = (
    deterministic,
    order_does_not_matter,
    bounds,
    gold_scores_best,
    random_at_chance,
    reads_what_it_names,
    hard_texts,
)
