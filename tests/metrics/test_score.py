"""From answered examples to a score: checks, order, and JSON without NaN."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.answer import Answer
from gpttasks.errors import PluginError, RunFailed
from gpttasks.example import Example
from gpttasks.metrics.base import Metric
from gpttasks.metrics.classification import F1, Accuracy, CalibrationError
from gpttasks.metrics.intervals import interval_of
from gpttasks.metrics.likelihood import GreedyMatch, Perplexity
from gpttasks.metrics.score import Score, score_samples

PLACE = {"split": "test", "measure": "task:t", "way": "head:h"}
FIELDS = [
    "value",
    "low",
    "high",
    "level",
    "n",
    "groups",
    "scale",
    "higher_is_better",
    "split",
    "measure",
    "way",
    "method",
    "reason",
]


def labelled(pairs, groups=None):
    groups = groups or [None] * len(pairs)
    examples = [
        Example("x", choices=("a", "b"), label=gold, id=f"id-{index}", group=group)
        for index, ((gold, _), group) in enumerate(zip(pairs, groups, strict=True))
    ]
    return examples, [Answer(predicted) for _, predicted in pairs]


def dumped(score):
    return json.loads(json.dumps(score.as_dict(), allow_nan=False))


def test_a_score_is_value_interval_and_signature():
    examples, answers = labelled([(0, 0), (1, 1), (1, 0), (0, 0)])
    score, rows = score_samples(Accuracy(), examples, answers, key="accuracy", **PLACE)
    interval = interval_of(rows, Accuracy().total, "share")
    assert rows.tolist() == [[1], [1], [0], [1]]
    assert dumped(score) == {
        "value": 0.75,
        "low": interval.low,
        "high": interval.high,
        "level": 0.95,
        "n": 4,
        "groups": None,
        "scale": [0.0, 1.0],
        "higher_is_better": True,
        **PLACE,
        "method": "wilson",
        "reason": None,
    }
    assert list(score.as_dict()) == FIELDS


PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(pairs, random):
    examples, answers = labelled(pairs, [random.choice(["g", "h", None]) for _ in pairs])
    order = random.sample(range(len(pairs)), len(pairs))
    for metric in (Accuracy(), F1()):
        score, rows = score_samples(metric, examples, answers, key="m", resamples=20, **PLACE)
        again, mixed = score_samples(
            metric, [examples[i] for i in order], [answers[i] for i in order], key="m", resamples=20, **PLACE
        )
        assert again == score
        assert (mixed == rows[order]).all()
        assert set(dumped(score)) == set(FIELDS)


def test_groups_are_resampled_as_one_and_counted():
    examples, answers = labelled([(0, 0), (1, 1), (1, 0), (0, 0)], ["a", "a", "b", "b"])
    assert score_samples(Accuracy(), examples, answers, key="accuracy", **PLACE)[0].groups == 2


def test_one_sample_has_a_value_and_a_reason():
    examples, answers = labelled([(0, 0)])
    score, _ = score_samples(Accuracy(), examples, answers, key="accuracy", **PLACE)
    assert (score.value, score.high, score.reason) == (1.0, 1.0, None)
    assert score.low == pytest.approx(0.2065, abs=1e-4)  # Wilson's interval of 1 of 1
    score, _ = score_samples(F1(), examples, answers, key="f1", **PLACE)
    assert (score.value, score.low, score.reason) == (1.0, None, "no interval from a single sample")


@pytest.mark.parametrize("nats_tokens_bytes", [(0.0, 0, 0), (1e6, 1, 1)])
def test_an_undefined_score_is_null_with_a_reason(nats_tokens_bytes):
    examples = [Example("text", id=str(index)) for index in range(3)]
    answers = [Answer(nats_tokens_bytes[0], scores=nats_tokens_bytes)] * 3
    score, _ = score_samples(Perplexity(), examples, answers, key="perplexity", **PLACE)
    assert (score.value, score.low, score.high) == (None, None, None)
    assert score.reason == "perplexity is undefined on these samples"
    assert dumped(score)["value"] is None


@pytest.mark.parametrize("field", ["value", "low", "high"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, None])
def test_a_score_refuses_nan_infinity_and_silence(field, number):
    fields = {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "level": 0.95,
        "n": 9,
        "groups": None,
        "scale": (0.0, 1.0),
    }
    with pytest.raises(ValueError, match=field):
        Score(**{**fields, field: number}, higher_is_better=True, **PLACE)


def of_value(number, **declared):
    body = {"sample": lambda self, example, answer: (number,), "statistic": "mean", "needs": frozenset({"label"})}
    return type("Made", (Metric,), {"name": "made", "takes": frozenset({"label"}), **body, **declared})()


def test_a_metric_without_a_scale_is_not_clamped():
    examples, answers = labelled([(0, 0), (1, 1), (1, 0), (0, 0)])

    class Lengths(Metric):
        name, statistic, needs, takes = "lengths", "mean", frozenset({"label"}), frozenset({"label"})

        def sample(self, example, answer):
            return (3.0 + 2 * example.label,)

    score, _ = score_samples(Lengths(), examples, answers, key="lengths", **PLACE)
    assert score.scale == (None, None)
    assert score.low < score.value == 4.0 < score.high


@pytest.mark.parametrize("declared", [{"scale": (0.0, 1.0)}, {"scale": (5.0, None)}, {"statistic": "share"}])
def test_a_value_outside_its_scale_is_the_plugins_fault(declared):
    examples, answers = labelled([(0, 0), (1, 1)])
    with pytest.raises(PluginError, match=r"total of metric 'm' is 4.0, expected a value on its scale"):
        score_samples(of_value(4.0, **declared), examples, answers, key="m", **PLACE)


def test_a_total_cannot_change_its_rows():
    def total(self, rows):
        rows[:, 0] *= 2
        return float(rows[:, 0].mean())

    examples, answers = labelled([(0, 0), (1, 1)])
    with pytest.raises(ValueError, match="read-only"):
        score_samples(of_value(1.0, statistic="corpus", total=total), examples, answers, key="m", **PLACE)


@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.0, math.nan), (0.0, math.inf), (1.0, 1.0)])
def test_a_scale_is_two_finite_numbers_in_order(scale):
    assert not Metric.declarations["scale"].fits(scale)


def test_nothing_to_score_fails():
    with pytest.raises(RunFailed, match="'accuracy': nothing to score"):
        score_samples(Accuracy(), [], [], key="accuracy", **PLACE)
    with pytest.raises(RunFailed, match="1 examples and 0 answers"):
        score_samples(Accuracy(), labelled([(0, 0)])[0], [], key="accuracy", **PLACE)


def test_an_example_without_a_needed_field_is_named():
    examples = [Example("x", label=0, id="first"), Example("x", id="second"), Example("x", id="third")]
    with pytest.raises(RunFailed, match="'acc' needs label, which example 'second' lacks; 2 of 3 examples"):
        score_samples(Accuracy(), examples, [Answer(0)] * 3, key="acc", **PLACE)


def test_an_answer_of_another_kind_is_named():
    examples, _ = labelled([(0, 0), (1, 0)])
    with pytest.raises(RunFailed, match="'acc' cannot score example 'id-1': the answer's value is 'good'"):
        score_samples(Accuracy(), examples, [Answer(0), Answer("good")], key="acc", **PLACE)
    with pytest.raises(RunFailed, match="'ece' cannot score example 'id-0': the answer has 0 scores"):
        score_samples(CalibrationError(), examples, [Answer(0), Answer(0)], key="ece", **PLACE)


class Scripted(Metric):
    """Gives what an answer's detail says."""

    name = "scripted"
    takes = frozenset({"label"})
    reads = frozenset({"detail"})

    def sample(self, example, answer):
        return answer.detail["sample"]

    def total(self, rows):
        return float(rows.sum())


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(1.0,), (1.0, 2.0)], "2 statistics for example 'id-1' and 1 for the first"),
        ([(), ()], "0 statistics for example 'id-0'"),
        ([(1.0,), (math.nan,)], r"\(nan,\) for example 'id-1'"),
        ([(1.0,), (math.inf,)], r"\(inf,\) for example 'id-1'"),
        ([(1.0,), None], "broke on example 'id-1': TypeError"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_named(samples, told):
    examples, _ = labelled([(0, 0), (1, 1)])
    with pytest.raises(PluginError, match=told):
        score_samples(Scripted(), examples, [Answer(0, detail={"sample": s}) for s in samples], key="s", **PLACE)


def test_a_metric_may_read_what_pairs_do_not_hold():
    examples, _ = labelled([(0, 0), (1, 1)])
    answers = [Answer(0, detail={"sample": (number,)}) for number in (1.0, 2.0)]
    score, rows = score_samples(Scripted(), examples, answers, key="s", **PLACE)
    assert score.value == 3.0
    assert np.array_equal(rows, [[1.0], [2.0]])


class Undeclared(Accuracy):
    """Reads the example's group without saying so."""

    name = "undeclared"

    def sample(self, example, answer):
        return (float(example.group == "g"),)


def test_a_metric_that_reads_what_it_does_not_name_is_refused():
    examples, answers = labelled([(0, 0), (1, 1)], ["g", None])
    with pytest.raises(PluginError, match="must name every field it reads"):
        score_samples(Undeclared(), examples, answers, key="undeclared", **PLACE)


class Undetailed(GreedyMatch):
    """Reads the answer's text without saying so."""

    name = "undetailed"

    def sample(self, example, answer):
        return (float(answer.detail["greedy"] and answer.text == "yes"),)


def test_so_is_one_that_reads_more_than_pairs_hold():
    examples, _ = labelled([(0, 0), (1, 1)])
    answers = [Answer(1.0, text, detail={"greedy": True}) for text in ("yes", "no")]
    score, _ = score_samples(GreedyMatch(), examples, answers, key="greedy", **PLACE)
    assert score.value == 1.0
    with pytest.raises(PluginError, match=r"gives 0\.5 for the examples and 0\.0 as an Evaluate metric"):
        score_samples(Undetailed(), examples, answers, key="undetailed", **PLACE)


class Chosen(Accuracy):
    """Fails without a field that it does not name."""

    name = "chosen"

    def sample(self, example, answer):
        return (float(example.choices[answer.value] == "good"),)


def test_one_that_fails_without_an_undeclared_field_is_told_which_to_declare():
    examples, answers = labelled([(0, 0), (1, 1)])
    with pytest.raises(PluginError, match=r"metric 'chosen' fails as an Evaluate metric: .*IndexError.*must name"):
        score_samples(Chosen(), examples, answers, key="chosen", **PLACE)


class Counted(Accuracy):
    """Counts how often it is asked for a sample's statistics."""

    name = "counted"

    def __init__(self):
        super().__init__()
        self.samples = self.prepared = 0

    def prepare(self, examples, answers):
        self.prepared += 1

    def sample(self, example, answer):
        self.samples += 1
        return super().sample(example, answer)


def test_each_sample_is_scored_once_for_the_statistics_and_once_by_evaluate():
    examples, answers = labelled([(0, 0), (1, 1), (1, 0)])
    metric = Counted()
    score_samples(metric, examples, answers, key="counted", **PLACE)
    assert (metric.samples, metric.prepared) == (2 * len(examples), 2)
