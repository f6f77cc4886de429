"""A metric as ``evaluate.Metric``: the same numbers, the library's ways of feeding it, and clear refusals."""

import evaluate
import numpy as np
import pytest
from sklearn import metrics as oracle

from gpttasks.answer import Answer
from gpttasks.errors import GpttasksError, PluginError, RunFailed, UserError
from gpttasks.metrics.base import Metric
from gpttasks.metrics.classification import F1, Accuracy, CalibrationError, LogLoss, MatthewsCorrelation
from gpttasks.metrics.evaluate_metric import as_evaluate_metric, evaluate_total
from gpttasks.metrics.likelihood import BitsPerByte, Perplexity
from gpttasks.metrics.rows import sample_rows
from gpttasks.tasks.example import Example

GOLD, PREDICTED = [0, 1, 2, 1, 0, 2], [0, 2, 2, 1, 1, 2]


def test_index_metrics_take_class_indices():
    assert as_evaluate_metric(F1()).compute(predictions=PREDICTED, references=GOLD) == {
        "f1": pytest.approx(oracle.f1_score(GOLD, PREDICTED, average="macro"))
    }
    assert isinstance(as_evaluate_metric(Accuracy()), evaluate.Metric)


def test_pairs_may_be_added_and_the_metric_used_again():
    metric = as_evaluate_metric(Accuracy())
    for _ in range(2):
        metric.add(prediction=0, reference=0)
        metric.add_batch(predictions=np.array([1, 2]), references=np.array([1, 1]))
        assert metric.compute() == {"accuracy": pytest.approx(2 / 3)}


def test_probability_metrics_take_lists_of_probabilities():
    probabilities = [[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]]
    got = as_evaluate_metric(LogLoss()).compute(predictions=probabilities, references=[0, 1, 1])
    assert got == {"log_loss": pytest.approx(oracle.log_loss([0, 1, 1], y_proba=probabilities))}


def test_likelihood_metrics_take_triples():
    triples, texts = [[2.0, 2, 4], [6.0, 2, 8]], ["text", "a text 2"]
    assert as_evaluate_metric(Perplexity()).compute(predictions=triples, references=texts) == {
        "perplexity": pytest.approx(np.exp(2.0))
    }
    assert as_evaluate_metric(BitsPerByte()).compute(predictions=triples, references=texts) == {
        "bits_per_byte": pytest.approx(8 / np.log(2) / 12)
    }


def test_metrics_combine():
    metrics = [as_evaluate_metric(metric) for metric in (Accuracy(), F1(), MatthewsCorrelation())]
    assert evaluate.combine(metrics).compute(predictions=PREDICTED, references=GOLD) == {
        "accuracy": pytest.approx(oracle.accuracy_score(GOLD, PREDICTED)),
        "f1": pytest.approx(oracle.f1_score(GOLD, PREDICTED, average="macro")),
        "matthews_correlation": pytest.approx(oracle.matthews_corrcoef(GOLD, PREDICTED)),
    }
    macro, weighted = as_evaluate_metric(F1()), as_evaluate_metric(F1(F1.Options(average="weighted")))
    both = evaluate.combine({"macro": macro, "weighted": weighted})
    both.add_batch(predictions=PREDICTED, references=GOLD)
    assert both.compute() == {
        f"{average}_f1": pytest.approx(oracle.f1_score(GOLD, PREDICTED, average=average))
        for average in ("macro", "weighted")
    }


@pytest.mark.parametrize(
    ("pairs", "error", "told"),
    [
        ({}, UserError, "nothing to score"),
        ({"predictions": [], "references": []}, UserError, "nothing to score"),
        ({"predictions": [0, 0.7], "references": [0, 1]}, UserError, "pair 1: got 0.7"),
        ({"predictions": [0], "references": [None]}, UserError, "pair 0: got None"),
        ({"predictions": [0, -1], "references": [0, 0]}, RunFailed, "'1': the answer's value is -1"),
        ({"predictions": [0, 1], "references": [0]}, ValueError, "Mismatch in the number"),
    ],
)
def test_bad_pairs_are_refused(pairs, error, told):
    with pytest.raises(error, match=told):
        as_evaluate_metric(Accuracy()).compute(**pairs)


@pytest.mark.parametrize("predictions", [[[]], [None], [[0.5, None]], [[0.5, 0.6]]])
def test_bad_probabilities_are_refused(predictions):
    with pytest.raises(GpttasksError, match=r"pair 0|example '0'"):
        as_evaluate_metric(LogLoss()).compute(predictions=predictions, references=[0])


@pytest.mark.parametrize(
    "metric", [Accuracy(), F1(), MatthewsCorrelation(), LogLoss(), CalibrationError()], ids=lambda metric: metric.name
)
def test_a_runs_value_is_the_total_of_its_rows(metric):
    for seed in range(20):
        generator = np.random.default_rng(seed)
        n = int(generator.integers(1, 30))
        widths = generator.integers(2, 5, n)  # examples may differ in their number of choices
        examples = [
            Example("x", choices=map(str, range(width)), label=int(generator.integers(width)), id=str(index))
            for index, width in enumerate(widths)
        ]
        scores = [generator.dirichlet(np.ones(width)).tolist() for width in widths]
        # A tuned threshold may choose another class than the likeliest.
        answers = [Answer(int(generator.integers(len(row))), scores=tuple(row)) for row in scores]
        rows = sample_rows(metric, examples, answers, key=metric.name)
        assert evaluate_total(metric, examples, answers) == metric.total(rows)


@pytest.mark.parametrize("metric", [Perplexity(), BitsPerByte()], ids=lambda metric: metric.name)
def test_the_same_holds_for_likelihoods(metric):
    generator = np.random.default_rng(0)
    examples = [Example(["Ein Satz, ", "größer"], id=str(index)) for index in range(20)]
    answers = [Answer(x, scores=(x, 3.0, 12.0)) for x in generator.random(20).tolist()]
    rows = sample_rows(metric, examples, answers, key=metric.name)
    assert evaluate_total(metric, examples, answers) == metric.total(rows)


class Speaker(Metric):
    """Needs a field that no pair holds."""

    name = "speaker"
    needs = frozenset({"group"})
    takes = frozenset({"label"})

    def sample(self, example, answer):
        return (float(len(example.group)),)

    def total(self, rows):
        return float(rows.sum())


def test_a_metric_that_needs_more_than_pairs_has_no_evaluate_form_but_a_total():
    with pytest.raises(PluginError, match="needs group of the example"):
        as_evaluate_metric(Speaker())
    assert evaluate_total(Speaker(), [Example("x", group="abc", id="1")], [Answer(0)]) == 3.0


def test_an_empty_run_is_refused():
    with pytest.raises(RunFailed, match="nothing to score"):
        evaluate_total(Accuracy(), [], [])
