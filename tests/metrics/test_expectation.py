"""The expected score of random answers, against closed forms and naive simulations."""

import numpy as np
import pytest

from gpttasks.answer import Answer
from gpttasks.errors import PluginError, RunFailed
from gpttasks.example import Example
from gpttasks.metrics import expectation
from gpttasks.metrics.classification import F1, Accuracy, LogLoss
from gpttasks.metrics.expectation import expected_score
from gpttasks.metrics.generation import Distinct
from gpttasks.metrics.score import score_expected
from gpttasks.metrics.text import ExactMatch, TokenF1
from gpttasks.tasks.baselines import Random


def labelled(*sizes):
    words = ("a", "b", "c", "d", "e")
    return [Example("?", choices=words[:size], label=i % size, id=f"id {i}") for i, size in enumerate(sizes)]


def possible(examples, kind="label"):
    return [Random().possible(example, kind) for example in examples]


def test_accuracy_is_expected_to_be_one_by_the_number_of_choices():
    examples = labelled(4, 4, 2, 5)
    value, rows, how = expected_score(Accuracy(), examples, possible(examples), key="accuracy")
    assert value == pytest.approx(np.mean([1 / 4, 1 / 4, 1 / 2, 1 / 5]))
    assert rows[:, 0].tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 2, 1 / 5])
    assert how == "the expected score: the mean over all possible answers"


def test_an_undefined_score_says_that_it_is_and_why():
    class Undefined(F1):
        def total(self, rows):
            return float("nan")

    examples = labelled(3, 3)
    score, _ = score_expected(
        Undefined(), examples, possible(examples), key="f1", split="test", measure="m:m", way="baseline:random"
    )
    assert (score.value, score.reason) == (
        None,
        "f1 is undefined on these samples: it has no value on any of 1,000 draws of the baseline's answers",
    )


def test_draws_without_a_score_are_counted():
    class OftenUndefined(F1):
        def total(self, rows):
            return float("nan") if rows[0, 1] else 1.0

    examples = labelled(2)
    value, _, how = expected_score(OftenUndefined(), examples, possible(examples), key="f1")
    undefined = int(how.split("without ")[1].split()[0])
    assert value == 1.0
    assert 400 < undefined < 600


@pytest.mark.parametrize("statistic", ["share", "mean"])
def test_a_total_other_than_declared_is_refused(statistic):
    metric = type("Twice", (Accuracy,), {"statistic": statistic, "total": lambda self, rows: 2 * rows[:, 0].mean()})()
    with pytest.raises(PluginError, match=f"declares statistic '{statistic}', but its total is 1.0"):
        expected_score(metric, labelled(2, 2), possible(labelled(2, 2)), key="twice")


def test_log_loss_is_the_logarithm_of_the_number_of_choices():
    examples = labelled(4, 2)
    value, _, _ = expected_score(LogLoss(), examples, possible(examples), key="log_loss")
    assert value == pytest.approx(np.log([4, 2]).mean())


def test_f1_is_the_mean_of_a_thousand_draws():
    examples = labelled(*[3] * 40)
    value, rows, how = expected_score(F1(), examples, possible(examples), key="f1")
    generator, totals = np.random.default_rng(5), []
    for _ in range(4000):
        gold, drawn = np.array([example.label for example in examples]), generator.integers(0, 3, 40)
        f1 = [2 * ((gold == c) & (drawn == c)).sum() / ((gold == c).sum() + (drawn == c).sum()) for c in range(3)]
        totals.append(np.mean(f1))
    assert value == pytest.approx(np.mean(totals), abs=4 * np.std(totals) / 1000**0.5)
    assert (rows, how) == (None, "the expected score: the mean of 1,000 draws")


@pytest.mark.parametrize("metric", [ExactMatch(), TokenF1()])
def test_spans_of_a_passage_are_enumerated(metric):
    words = ["the", "red", "fox", "saw", "it"]
    examples = [
        Example("the red fox saw it", references=("red fox",), id="one"),
        Example("", references=("",), id="two"),
    ]
    value, rows, _ = expected_score(metric, examples, possible(examples, "text"), key="m")
    spans = [" ".join(words[first : first + length]) for first in range(5) for length in range(1, 6)]
    naive = np.mean([metric.sample(examples[0], Answer(span, span))[0] for span in spans])
    assert rows[:, 0].tolist() == pytest.approx([naive, 1.0])
    assert value == pytest.approx((naive + 1) / 2)


def test_of_very_many_answers_some_are_drawn_and_it_says_so(monkeypatch):
    examples = [Example("one two three four " * 10, references=("two",), id=str(number)) for number in range(30)]
    exact, _, _ = expected_score(ExactMatch(), examples, possible(examples, "text"), key="m")
    monkeypatch.setattr(expectation, "MOST_SAMPLES", 3000)
    value, _, how = expected_score(ExactMatch(), examples, possible(examples, "text"), key="m")
    assert value == pytest.approx(exact, abs=0.02)
    assert value != exact
    assert how == "the expected score: the mean over 3,000 of the possible answers"


@pytest.mark.parametrize("metric", [Accuracy(), F1()])
def test_nothing_depends_on_the_order_of_the_examples(metric):
    examples = labelled(4, 3, 2, 5, 4)
    turned = examples[::-1]
    one, two = (expected_score(metric, each, possible(each), key="m")[0] for each in (examples, turned))
    assert one == pytest.approx(two, rel=1e-12)


def test_a_metric_of_all_answers_together_is_prepared_for_each_draw(monkeypatch):
    monkeypatch.setattr(expectation, "DRAWS", 50)
    examples = [Example("x", choices=("a b c", "a b d"), label=0, id=str(number)) for number in range(3)]
    texts = [[Answer(text, text) for text in example.choices] for example in examples]
    value, rows, how = expected_score(Distinct(), examples, texts, key="distinct")
    # Two bigrams each: all alike, 2 of 6 are different (chance 1/4); else 3 of 6.
    assert value == pytest.approx(0.25 * 2 / 6 + 0.75 * 3 / 6, abs=0.05)
    assert (rows, how) == (None, "the expected score: the mean of 50 draws")


def test_an_example_without_an_answer_is_named():
    with pytest.raises(RunFailed, match="'m': the baseline has no answer to example 'id 0'"):
        expected_score(Accuracy(), labelled(2), [[]], key="m")
