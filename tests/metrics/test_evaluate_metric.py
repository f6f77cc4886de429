"""A metric as ``evaluate.Metric``: the same numbers, the library's ways of feeding it, and clear refusals."""

import evaluate
import numpy as np
import pytest
import sacrebleu
from random_texts import corpora
from sklearn import metrics as oracle

from gpttasks.answer import Answer
from gpttasks.errors import GpttasksError, PluginError, RunFailed, UserError
from gpttasks.example import Example
from gpttasks.metrics.base import Metric
from gpttasks.metrics.classification import F1, Accuracy, CalibrationError, LogLoss, MatthewsCorrelation
from gpttasks.metrics.evaluate_metric import as_evaluate_metric, evaluate_total
from gpttasks.metrics.generation import Distinct, Nist, Repetition, Rouge
from gpttasks.metrics.likelihood import BitsPerByte, BytePerplexity, GreedyMatch, Perplexity, WordPerplexity
from gpttasks.metrics.multilabel import MeanAveragePrecision, MultiLabelF1, SubsetAccuracy
from gpttasks.metrics.regression import MeanSquaredError, Pearson
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.sacrebleu_metrics import Bleu, Chrf, Ter
from gpttasks.metrics.text import ExactMatch, TokenF1

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


@pytest.mark.parametrize(
    "metric", [Perplexity(), BitsPerByte(), WordPerplexity(), BytePerplexity()], ids=lambda metric: metric.name
)
def test_the_same_holds_for_likelihoods(metric):
    generator = np.random.default_rng(0)
    examples = [Example(["Ein Satz, ", "größer"], id=str(index)) for index in range(20)]
    answers = [Answer(x, scores=(x, 3.0, 12.0)) for x in generator.random(20).tolist()]
    rows = sample_rows(metric, examples, answers, key=metric.name)
    assert evaluate_total(metric, examples, answers) == metric.total(rows)


TEXT_METRICS = [ExactMatch(), TokenF1(), Bleu(), Chrf(), Ter(), Nist(Nist.Options(n=2)), Rouge()]
SAID = ["the cats sat on the mat", "", "größer als 3,5\nund שלום"]
RIGHT = [["the cat sat on a mat", "a cat sat on the mat"], [""], ["größer als 3,5 und שלום"]]


def test_text_metrics_take_a_list_of_references_for_each_prediction():
    wanted = sacrebleu.corpus_bleu(SAID, [[row[0] for row in RIGHT], [RIGHT[0][1], None, None]]).score
    assert as_evaluate_metric(Bleu()).compute(predictions=SAID, references=RIGHT) == {"bleu": pytest.approx(wanted)}
    metric = as_evaluate_metric(Bleu())
    metric.add(prediction=SAID[0], reference=RIGHT[0])
    metric.add_batch(predictions=np.array(SAID[1:]), references=[tuple(row) for row in RIGHT[1:]])
    assert metric.compute() == {"bleu": pytest.approx(wanted)}


def test_text_metrics_combine_also_with_those_that_have_no_references():
    metrics = [as_evaluate_metric(metric) for metric in (ExactMatch(), Ter(), Distinct())]
    wanted = {
        "exact_match": pytest.approx(2 / 3),
        "ter": pytest.approx(sacrebleu.corpus_ter(SAID, [[row[0] for row in RIGHT], [RIGHT[0][1], None, None]]).score),
        "distinct": pytest.approx(1.0),
    }
    assert evaluate.combine(metrics).compute(predictions=SAID, references=RIGHT) == wanted
    combined = evaluate.combine(metrics)
    combined.add(prediction=SAID[0], reference=RIGHT[0])
    combined.add_batch(predictions=SAID[1:], references=RIGHT[1:])
    assert combined.compute() == wanted


def test_metrics_without_references_take_predictions_alone():
    said = ["a b a b", "a b"]
    assert as_evaluate_metric(Distinct()).compute(predictions=said) == {"distinct": pytest.approx(2 / 4)}
    assert as_evaluate_metric(Distinct()).compute(predictions=said, references=["x", None]) == {"distinct": 0.5}
    metric = as_evaluate_metric(Repetition(Repetition.Options(n=2)))
    for prediction in said:
        metric.add(prediction=prediction)
    assert metric.compute() == {"repetition": pytest.approx(1 / 4)}
    with pytest.raises(UserError, match="nothing to score"):
        metric.compute(references=[["a"]])


@pytest.mark.parametrize("metric", TEXT_METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("references", "told"),
    [
        (["cat", "dog"], "pair 0: the references are 'cat', expected a list"),
        ([["cat"], "dog"], "pair 1: the references are 'dog', expected a list"),
        ([[["cat"]], [["dog"]]], r"pair 0: a reference is \['cat'\], expected a string"),
        ([["cat"], []], r"pair 1: the references are \[\], expected a list of one or more"),
        ([["cat"], None], "pair 1: the references are None"),
        ([["cat"], ["dog", None]], "pair 1: a reference is None, expected a string"),
        ([["cat"], [3]], "pair 1: a reference is 3, expected a string"),
        ([["cat", "dog"]], "2 predictions and references for 1"),
        ("cat", "references are 'cat', expected a list"),
        (None, "references are None, expected a list"),
    ],
)
def test_references_in_a_wrong_nesting_are_refused(metric, references, told):
    with pytest.raises(UserError, match=told):
        as_evaluate_metric(metric).compute(predictions=["cat", "dog"], references=references)
    with pytest.raises(UserError, match=told):
        as_evaluate_metric(metric).add_batch(predictions=["cat", "dog"], references=references)


@pytest.mark.parametrize(
    ("prediction", "reference"), [("a", "a"), ("a", []), ("a", None), ("a", [["a"]]), (None, ["a"]), (3, ["a"])]
)
def test_a_wrong_pair_is_refused_and_not_added(prediction, reference):
    metric = as_evaluate_metric(Bleu())
    with pytest.raises(UserError, match="cannot read pair 0"):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute(predictions=["a b c d"], references=[["a b c d"]]) == {"bleu": pytest.approx(100)}


def test_a_prediction_that_is_no_text_is_refused():
    for predictions in ([None], [3], [["cat"]], "c"):
        with pytest.raises(UserError, match="expected a"):
            as_evaluate_metric(Bleu()).compute(predictions=predictions, references=[["cat"]])


@pytest.mark.parametrize("metric", [*TEXT_METRICS, Distinct(), Repetition()], ids=lambda metric: metric.name)
def test_the_same_holds_for_texts(metric):
    for answers, references in corpora(9):
        examples = [Example("x", references=row, id=str(index)) for index, row in enumerate(references)]
        given = [Answer({"value": index}, said) for index, said in enumerate(answers)]
        rows = sample_rows(metric, examples, given, key=metric.name)
        assert evaluate_total(metric, examples, given) == pytest.approx(metric.total(rows), rel=1e-12, nan_ok=True)


def test_what_only_the_detail_says_is_no_pair_but_has_a_total():
    with pytest.raises(PluginError, match="reads detail"):
        as_evaluate_metric(GreedyMatch())
    answers = [Answer(1.0, detail={"greedy": greedy}) for greedy in (True, False)]
    assert evaluate_total(GreedyMatch(), [Example("x", id="1"), Example("x", id="2")], answers) == 0.5


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


def test_number_metrics_take_numbers():
    from scipy.stats import pearsonr

    said, right = [1.5, 2.0, 4.0, 3.0], [1.0, 2.5, 5.0, 2.0]
    assert as_evaluate_metric(Pearson()).compute(predictions=said, references=right)["pearson"] == pytest.approx(
        pearsonr(said, right)[0]
    )
    squares = [(one - other) ** 2 for one, other in zip(said, right, strict=True)]
    found = as_evaluate_metric(MeanSquaredError()).compute(predictions=said, references=right)
    assert found == {"mean_squared_error": pytest.approx(sum(squares) / 4)}


def test_label_metrics_take_a_one_or_zero_for_each():
    from sklearn.metrics import average_precision_score, f1_score

    right, said = [[1, 0, 1], [0, 1, 0], [1, 1, 0]], [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    found = as_evaluate_metric(MultiLabelF1()).compute(predictions=said, references=right)
    assert found["multilabel_f1"] == pytest.approx(f1_score(right, said, average="macro", zero_division=0))
    found = as_evaluate_metric(SubsetAccuracy()).compute(predictions=said, references=right)
    assert found["subset_accuracy"] == pytest.approx(1 / 3)
    shares = [[0.9, 0.1, 0.4], [0.2, 0.8, 0.6], [0.7, 0.3, 0.5]]
    found = as_evaluate_metric(MeanAveragePrecision()).compute(predictions=shares, references=right)
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(right, shares, average="macro"))


@pytest.mark.parametrize("prediction", [[1, 0], [1, 0.5, 0], []])
def test_labels_that_are_none_are_refused(prediction):
    with pytest.raises(UserError):
        as_evaluate_metric(SubsetAccuracy()).compute(predictions=[prediction], references=[[1, 0, 1]])
