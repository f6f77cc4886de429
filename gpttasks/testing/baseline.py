"""The rules for baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..answer import Answer
from ..backbones.mock import Mock
from ..example import Example
from .faults import Fault, refused, rule, run_rules, told
from .head_subject import fits_kind, same_answer
from .partners import head_of, metric_for, task_of
from .samples import HARD_TEXTS, sample_examples, shuffled, with_passage
from .trial_run import trial, use

if TYPE_CHECKING:
    from ..tasks.baselines import Baseline


@dataclass(frozen=True)
class BaselineSubject:
    """A baseline with examples."""

    baseline: Baseline
    examples: Sequence[Example]

    def answers(self, examples: Sequence[Example], kind: str) -> list[Answer]:
        """Its answers, for a metric that counts no errors."""
        return self.baseline.answers(examples, kind, lambda example, text: None)

    @property
    def kinds(self) -> list[str]:
        """The kinds of answer that it gives."""
        return sorted(self.baseline.gives)


def check_baseline(baseline: Baseline, examples: Sequence[Example] | None = None) -> list[Fault]:
    """The faults of a baseline on examples with all the fields that it needs; None generates some.

    Raises ValueError for examples without what it needs.
    """
    examples = sample_examples(24) if examples is None else examples
    lacking = sorted(baseline.needs - examples[0].fields)
    if lacking:
        raise ValueError(f"baseline {baseline.name!r} needs {', '.join(lacking)}, and the examples have none")
    subject = BaselineSubject(baseline, examples)
    return run_rules("baseline", baseline.name, lambda: subject, RULES)


@rule("name in gives at least one kind of answer, and give one Answer of that kind for each example, in their order")
def answers_in_kind(subject: BaselineSubject) -> Iterator[str]:
    """There is one answer for each example, of each kind that ``gives`` names."""
    if not subject.kinds:
        yield "got no kind of answer in gives, wanted one or more"
    for kind in subject.kinds:
        answers = subject.answers(subject.examples, kind)
        if len(answers) != len(subject.examples):
            yield f"got {len(answers)} answers of the kind {kind!r} to {len(subject.examples)} examples"
            continue
        for example, answer in zip(subject.examples, answers, strict=True):
            if not fits_kind(kind, example, answer):
                yield f"got the answer {answer.value!r} with scores {answer.scores}, wanted what {kind!r} is"
                break


@rule("compute from the examples alone; where something has to be random, draw it by the example's id")
def deterministic(subject: BaselineSubject) -> Iterator[str]:
    """The same examples get the same answers."""
    for kind in subject.kinds:
        if subject.answers(subject.examples, kind) != subject.answers(subject.examples, kind):
            yield f"got other answers of the kind {kind!r} to the same examples, wanted the same"


@rule("let no answer depend on where its example stands; add numbers up in a fixed order")
def order_does_not_matter(subject: BaselineSubject) -> Iterator[str]:
    """Answers do not depend on the order of the examples."""
    order = shuffled(len(subject.examples))
    for kind in subject.kinds:
        answers = subject.answers(subject.examples, kind)
        others = subject.answers([subject.examples[place] for place in order], kind)
        for place, other in zip(order, others, strict=True):
            if not same_answer(answers[place], other):
                yield f"got {answers[place].value!r} and, in another order, {other.value!r}, wanted the same"
                break


@rule("raise DataError for an example that has no answer")
def hard_texts(subject: BaselineSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left passages are answered, or refused with a gpttasks error."""
    for kind in subject.kinds:
        for what, text in HARD_TEXTS.items():
            example = with_passage(subject.examples[0], text)
            try:
                (answer,) = subject.answers([example], kind)
                if not fits_kind(kind, example, answer):
                    yield f"{what} text: got the answer {answer.value!r}, wanted what {kind!r} is"
            except Exception as error:
                if not refused(error):
                    yield f"{what} text: got {told(error)}, wanted an answer or a gpttasks error"


@rule("let nothing but its options and the examples decide what it answers")
def round_trip(subject: BaselineSubject) -> Iterator[str]:
    """A run that scores it scores these answers."""
    examples, baseline = subject.examples, subject.baseline
    for kind in subject.kinds:
        answers = subject.answers(examples, kind)
        answered = {example.id: answer for example, answer in zip(examples, answers, strict=True)}
        task, head, metric = task_of(examples, len(examples)), head_of(answered, kind), metric_for(kind)
        keys = {
            "backbone": {"use": Mock.name},
            "task": {"use": task.name},
            "head": {"use": head.name},
            "score": {"metrics": [{"use": metric.name, "baseline": use(baseline), "as": "checked"}]},
        }
        with trial((task, head, metric, type(baseline)), keys) as run:
            statistics = [sample["stats_checked"] for sample in run.samples]
        wanted = [list(metric().sample(example, answer)) for example, answer in zip(examples, answers, strict=True)]
        if statistics != wanted:
            yield f"got other answers of the kind {kind!r} in a run, wanted the same"


RULES = (answers_in_kind, deterministic, order_does_not_matter, hard_texts, round_trip)
