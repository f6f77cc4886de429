"""Multi-label metrics agree with scikit-learn on random and on degenerate samples."""

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as oracle

from gpttasks.answer import Answer
from gpttasks.errors import DataError
from gpttasks.example import Example
from gpttasks.metrics.multilabel import HammingLoss, MeanAveragePrecision, MultiLabelF1, SubsetAccuracy
from gpttasks.metrics.rows import sample_rows

CASES = 1000
AVERAGES = ("micro", "macro", "samples")


def score(metric, right, chosen, scores=None):
    """The metric of 0/1 matrices [samples, labels], fed as a run feeds it."""
    names = [f"label {index}" for index in range(right.shape[1])]
    examples = [
        Example("x", choices=names, labels=np.flatnonzero(row).tolist(), id=str(i)) for i, row in enumerate(right)
    ]
    scores = np.zeros(right.shape) if scores is None else scores
    answers = [
        Answer(np.flatnonzero(row).tolist(), scores=tuple(values))
        for row, values in zip(chosen, scores.tolist(), strict=True)
    ]
    for example in examples:
        metric.check(example)
    return metric.total(sample_rows(metric, examples, answers, key=metric.name))


def cases():
    """(right, chosen, scores): some with empty rows, labels that never occur, everything right, one sample, ties."""
    for case in range(CASES):
        generator = np.random.default_rng(case)
        labels, n = int(generator.integers(2, 5)), 1 if case % 50 == 0 else int(generator.integers(1, 30))
        share = generator.choice([0.05, 0.3, 0.7])
        right = (generator.random((n, labels)) < share).astype(float)
        chosen = (generator.random((n, labels)) < share).astype(float)
        if case % 2:
            chosen = np.where(generator.random((n, labels)) < 0.8, right, chosen)
        if case % 20 == 1:
            right[:, 0] = 0
        if case % 20 == 2:
            right[:] = chosen[:] = 0
        scores = generator.random((n, labels)) if case % 3 else generator.integers(0, 5, (n, labels)) / 4
        yield right, right if case % 30 == 3 else chosen, scores


def test_f1_agrees_with_scikit_learn():
    for case, (right, chosen, _) in enumerate(cases()):
        average = AVERAGES[case // 2 % 3]
        wanted = oracle.f1_score(right, chosen, average=average, zero_division=0)
        assert score(MultiLabelF1(MultiLabelF1.Options(average=average)), right, chosen) == pytest.approx(wanted)


def test_subset_accuracy_agrees_with_scikit_learn():
    for right, chosen, _ in cases():
        assert score(SubsetAccuracy(), right, chosen) == pytest.approx(oracle.accuracy_score(right, chosen))


def test_hamming_loss_agrees_with_scikit_learn():
    for right, chosen, _ in cases():
        assert score(HammingLoss(), right, chosen) == pytest.approx(oracle.hamming_loss(right, chosen))


def test_mean_average_precision_agrees_with_scikit_learn():
    undefined = 0
    for right, chosen, scores in cases():
        occurring = right.any(axis=0)
        got = score(MeanAveragePrecision(), right, chosen, scores)
        if not occurring.any():
            assert np.isnan(got)
            undefined += 1
            continue
        wanted = oracle.average_precision_score(right[:, occurring], scores[:, occurring], average="macro")
        assert got == pytest.approx(wanted, abs=1e-12)
    assert undefined >= CASES // 20


def test_directions_and_scales():
    assert not HammingLoss.higher_is_better
    assert all(metric.higher_is_better for metric in (MultiLabelF1, SubsetAccuracy, MeanAveragePrecision))
    with pytest.raises(ValidationError):
        MultiLabelF1.Options(average="weighted")


@pytest.mark.parametrize("metric", [MultiLabelF1(), SubsetAccuracy(), HammingLoss()], ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1, "is 1, expected a list"),
        ("01", "is '01', expected a list"),
        ([0.5], r"is \[0.5\], expected whole numbers"),
        ([2], r"is \[2\], expected class indices, 0 to 1"),
        ([-1], "0 to 1"),
        (None, "None"),
    ],
)
def test_what_are_no_labels_is_refused(metric, value, told):
    with pytest.raises(ValueError, match=told):
        metric.sample(Example("x", choices=("a", "b"), labels=(0,)), Answer(value))


def test_scores_that_do_not_fit_the_choices():
    with pytest.raises(ValueError, match="has 1 scores, expected one for each of 2"):
        MeanAveragePrecision().sample(Example("x", choices=("a", "b"), labels=(0,)), Answer([0], scores=(0.5,)))


METRICS = (MultiLabelF1, SubsetAccuracy, HammingLoss, MeanAveragePrecision)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_examples_without_right_labels_are_refused_before_the_run(metric):
    for labels, said in ((None, "it has no labels"), ((1, 2), r"its labels are \[1, 2\]")):
        with pytest.raises(DataError, match=f"example e7: {said}, expected"):
            metric().check(Example("x", choices=("a", "b"), labels=labels, id="e7"))
    metric().check(Example("x", choices=("a", "b"), labels=()))


def test_averages_over_labels_want_the_same_labels():
    one = Example("x", choices=("a", "b"), labels=(0,), id="1")
    other = Example("x", choices=("a", "c"), labels=(0,), id="2")
    for metric in (MultiLabelF1(), MeanAveragePrecision()):
        metric.check(one)
        with pytest.raises(DataError, match=r"example 2 has \['a', 'c'\], example 1 \['a', 'b'\]"):
            metric.check(other)
    for metric in (MultiLabelF1(MultiLabelF1.Options(average="micro")), SubsetAccuracy()):
        metric.check(one)
        metric.check(other)
