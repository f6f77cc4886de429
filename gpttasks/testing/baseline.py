"""The rules for baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ..answer import Answer, AnswerKind
from ..backbones.mock import Mock
from ..example import Example
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .head_subject import known_kinds, same_answer
from .partners import head_of, metric_for, task_of
from .samples import HARD_TEXTS, sample_examples, shuffled, with_passage
from .trial_run import trial, use

if TYPE_CHECKING:
    from ..tasks.baselines import Baseline


@dataclass(frozen=True)
class BaselineSubject:
    """A baseline with examples, and the known kinds of answer."""

    baseline: Baseline
    examples: Sequence[Example]
    known: Mapping[str, AnswerKind]

    def answers(self, examples: Sequence[Example], kind: AnswerKind) -> list[Answer]:
        """Its answers, for a metric that counts no errors."""
        return self.baseline.answers(examples, kind.name, lambda example, text: None)

    @property
    def kinds(self) -> list[AnswerKind]:
        """The kinds of answer that it gives."""
        return [self.known[name] for name in sorted(self.baseline.gives) if name in self.known]


def check_baseline(
    baseline: Baseline, examples: Sequence[Example] | None = None, answer_kinds: Iterable[AnswerKind] = ()
) -> list[Fault]:
    """The faults of a baseline on examples with all the fields that it needs; None generates some.

    ``answer_kinds`` are those that no installed plugin registers. Raises ValueError for examples that lack a field.
    """
    examples = sample_examples(24) if examples is None else examples
    lacking = sorted(baseline.needs - examples[0].fields)
    if lacking:
        raise ValueError(f"baseline {baseline.name!r} needs {', '.join(lacking)}, which the examples lack")
    subject = BaselineSubject(baseline, examples, known_kinds(answer_kinds))
    return run_rules("baseline", baseline.name, lambda: subject, RULES)


@rule("name one or more kinds of answer in gives, and return one Answer of that kind for each example, in order")
def answers_in_kind(subject: BaselineSubject) -> Iterator[str]:
    """There is one answer for each example, of each kind that ``gives`` names."""
    unknown = sorted(subject.baseline.gives - subject.known.keys())
    if unknown or not subject.baseline.gives:
        yield f"got {unknown or 'no kind of answer'} in gives, expected one or more of {sorted(subject.known)}"
        return
    for kind in subject.kinds:
        answers = subject.answers(subject.examples, kind)
        if len(answers) != len(subject.examples):
            counts = f"{len(answers)} answers of the kind {kind.name!r} to {len(subject.examples)} examples"
            yield f"got {counts}, expected one each"
            continue
        for example, answer in zip(subject.examples, answers, strict=True):
            if not kind.fits(example, answer):
                yield f"got the answer {answer.value!r} with scores {answer.scores}, expected {kind.description}"
                break


@rule("let possible() give all answers that may be drawn, for every example, and let answers() draw from them")
def draws_from_possible(subject: BaselineSubject) -> Iterator[str]:
    """Each answer of a baseline that draws is among its possible ones."""
    for kind in subject.kinds:
        for example, answer in zip(subject.examples, subject.answers(subject.examples, kind), strict=True):
            possible = subject.baseline.possible(example, kind.name)
            if possible is not None and not any(same_answer(kind, answer, other) for other in possible):
                yield f"got the answer {answer.value!r}, expected one of the {len(possible)} possible ones"
                break


@rule("compute from the examples alone; derive what has to be random from the example's id")
def deterministic(subject: BaselineSubject) -> Iterator[str]:
    """The same examples get the same answers."""
    for kind in subject.kinds:
        if subject.answers(subject.examples, kind) != subject.answers(subject.examples, kind):
            yield f"got different answers of the kind {kind.name!r} to the same examples, expected the same"


@rule("let no answer depend on the position of its example; add numbers up in a fixed order")
def order_does_not_matter(subject: BaselineSubject) -> Iterator[str]:
    """Answers do not depend on the order of the examples."""
    order = shuffled(len(subject.examples))
    for kind in subject.kinds:
        answers = subject.answers(subject.examples, kind)
        others = subject.answers([subject.examples[place] for place in order], kind)
        for place, other in zip(order, others, strict=True):
            if not same_answer(kind, answers[place], other):
                yield f"got {answers[place].value!r} and, in another order, {other.value!r}, expected the same"
                break


@rule("raise DataError for an example that has no answer")
def hard_texts(subject: BaselineSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left passages are answered or refused with a gpttasks error."""
    for kind in subject.kinds:
        for what, text in HARD_TEXTS.items():
            example = with_passage(subject.examples[0], text)
            try:
                (answer,) = subject.answers([example], kind)
                if not kind.fits(example, answer):
                    yield f"{what} text: got the answer {answer.value!r}, expected {kind.description}"
            except Exception as error:
                if not is_refusal(error):
                    yield f"{what} text: got {error_text(error)}, expected an answer or a gpttasks error"


@rule("let only its options and the examples determine the answers")
def round_trip(subject: BaselineSubject) -> Iterator[str]:
    """A run that scores the baseline scores the same answers."""
    examples, baseline = subject.examples, subject.baseline
    for kind in subject.kinds:
        answers = subject.answers(examples, kind)
        possible = [
            baseline.possible(example, kind.name) or [answer] for example, answer in zip(examples, answers, strict=True)
        ]
        answered = {example.id: answer for example, answer in zip(examples, answers, strict=True)}
        task, head, metric = task_of(examples, len(examples)), head_of(answered, kind.name), metric_for(kind.name)
        keys = {
            "backbone": {"use": Mock.name},
            "task": {"use": task.name},
            "head": {"use": head.name},
            "score": {"metrics": [{"use": metric.name, "baseline": use(baseline), "as": "checked"}]},
        }
        with trial((task, head, metric, type(baseline)), keys, subject.known.values()) as run:
            statistics = [list(sample.statistics["checked"]) for sample in run.samples]
        expected = [
            fmean(metric().sample(example, answer)[0] for answer in drawn)
            for example, drawn in zip(examples, possible, strict=True)
        ]
        if [numbers[0] for numbers in statistics] != expected:
            yield f"got different answers of the kind {kind.name!r} in a run, expected the same"


RULES = (answers_in_kind, draws_from_possible, deterministic, order_does_not_matter, hard_texts, round_trip)
