"""One bad baseline per rule: the kit names that fault."""

from __future__ import annotations

import pytest
from found_rules import COUNTER, rules

from gpttasks import Answer, Baseline
from gpttasks.testing import check_baseline


class First(Baseline):
    """Answers the first choice: a correct baseline."""

    name = "first"
    gives = frozenset({"label"})
    needs = frozenset({"choices"})

    def answers(self, examples, kind, errors):
        return [Answer(0, example.choices[0]) for example in examples]


class Kindless(First):
    gives = frozenset()


class TooFew(First):
    def answers(self, examples, kind, errors):
        return super().answers(examples, kind, errors)[1:]


class OutOfRange(First):
    def answers(self, examples, kind, errors):
        return [Answer(len(example.choices), "") for example in examples]


class Drifting(First):
    def answers(self, examples, kind, errors):
        return [Answer(next(COUNTER) // 7 % 4, "") for _ in examples]


class ByPlace(First):
    def answers(self, examples, kind, errors):
        return [Answer(place % 4, "") for place, _ in enumerate(examples)]


class DrawsFromElsewhere(First):
    """Its answers are not among those that it says it draws from."""

    def possible(self, example, kind):
        return [Answer(place, choice) for place, choice in enumerate(example.choices) if place]


class FirstWord(First):
    gives = frozenset({"text"})

    def answers(self, examples, kind, errors):
        return [Answer(example.prompt[1].text.split()[0], "word") for example in examples]


class Remembering(First):
    """Answers differently in a run."""

    gives = frozenset({"text"})

    def __init__(self, options=None):
        super().__init__(options)
        self.turn = next(COUNTER)

    def answers(self, examples, kind, errors):
        return [Answer("x", "x" if self.turn == self.first else "") for _ in examples]


def test_a_good_one():
    assert check_baseline(First()) == []


@pytest.mark.parametrize(
    ("baseline", "rule"),
    [
        (Kindless, "answers-in-kind"),
        (TooFew, "answers-in-kind"),
        (OutOfRange, "answers-in-kind"),
        (DrawsFromElsewhere, "draws-from-possible"),
        (Drifting, "deterministic"),
        (ByPlace, "order-does-not-matter"),
        (FirstWord, "hard-texts"),
    ],
)
def test_bad_baselines(baseline, rule):
    assert rule in rules(check_baseline(baseline()))


def test_one_that_answers_otherwise_in_a_run():
    baseline = Remembering()
    Remembering.first = baseline.turn
    assert rules(check_baseline(baseline)) == {"round-trip"}


def test_examples_without_what_it_needs():
    class Speaker(First):
        needs = frozenset({"group"})

    with pytest.raises(ValueError, match="baseline 'first' needs group, which the examples lack"):
        check_baseline(Speaker())
