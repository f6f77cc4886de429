"""A metric as an ``evaluate.Metric``, made in this process: nothing is downloaded and no script is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..answer import Answer
from ..errors import PluginError, UserError
from ..tasks.example import Example, prompt_text
from .rows import sample_rows

if TYPE_CHECKING:
    import evaluate

    from .base import Metric

FeatureKind = Literal["number", "numbers", "text"]


@dataclass(frozen=True)
class PairForm:
    """How an answered example is put as a (prediction, reference) pair, and made again from one.

    ``decode`` takes the pair and the example's id, and raises ValueError for a pair that it cannot read.
    """

    description: str
    prediction: FeatureKind
    reference: FeatureKind
    encode: Callable[[Example, Answer], tuple[Any, Any]]
    decode: Callable[[Any, Any, str], tuple[Example, Answer]]


def _class_index(number: float | None) -> int:
    if number is None or not float(number).is_integer():
        raise ValueError(f"got {number!r}, wanted a class index (a whole number)")
    return int(number)


def _numbers(numbers: list[float] | None) -> tuple[float, ...]:
    if not numbers or any(number is None for number in numbers):
        raise ValueError(f"got {numbers!r}, wanted a list of numbers")
    return tuple(numbers)


# Class indices travel as floats: as integers, 0.7 would be cut to 0 without a word.
_INDICES = PairForm(
    "predictions: the predicted class indices. references: the right ones.",
    "number",
    "number",
    lambda example, answer: (answer.value, example.label),
    lambda prediction, reference, id: (
        Example(label=_class_index(reference), id=id),
        Answer(_class_index(prediction)),
    ),
)
_PROBABILITIES = PairForm(
    "predictions: for each sample the probabilities of the classes. references: the right class indices.",
    "numbers",
    "number",
    lambda example, answer: (list(answer.scores), example.label),
    lambda prediction, reference, id: (
        Example(label=_class_index(reference), id=id),
        Answer(None, scores=_numbers(prediction)),
    ),
)
_LIKELIHOODS = PairForm(
    "predictions: for each text [nats, tokens, bytes]. references: the texts, which must not be empty.",
    "numbers",
    "text",
    lambda example, answer: (list(answer.scores), prompt_text(example.prompt)),
    lambda prediction, reference, id: (
        Example(reference, id=id),
        Answer(_numbers(prediction)[0], scores=_numbers(prediction)),
    ),
)


def pair_form(metric: Metric) -> PairForm | None:
    """The form in which the metric scores (prediction, reference) pairs; None if a pair cannot hold what it reads."""
    if metric.takes == {"label"} and metric.needs <= {"label"}:
        if metric.reads <= {"value"}:
            return _INDICES
        return _PROBABILITIES if metric.reads == {"scores"} else None
    if metric.takes == {"nll"} and metric.needs <= {"prompt"} and metric.reads <= {"value", "scores"}:
        return _LIKELIHOODS
    return None


def as_evaluate_metric(metric: Metric) -> evaluate.Metric:
    """The metric as an ``evaluate.Metric`` that holds its pairs in memory.

    ``compute(predictions=..., references=...)`` gives ``{metric.name: value}``; ``add``, ``add_batch`` and
    ``evaluate.combine`` work as with any other. The value is NaN where the score is undefined. ``compute`` raises
    UserError where there are no pairs, and RunFailed for a pair that the metric cannot score.

    Raises PluginError for a metric that reads more than pairs of its kind of answer hold.
    """
    form = pair_form(metric)
    if form is None:
        raise PluginError(
            f"metric {metric.name!r} cannot score pairs of predictions and references: it takes "
            f"{_names(metric.takes)}, needs {_names(metric.needs)} of the example and reads {_names(metric.reads)}",
            hint="pairs hold a label and a predicted label or its probabilities, or the likelihood of a text",
        )
    return _wrap(metric, form)


def evaluate_total(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer]) -> float:
    """What the metric as ``evaluate.Metric`` computes for answered examples; NaN where it is undefined.

    For a metric that reads more than pairs hold, it is the total of the samples' statistics.
    Raises RunFailed and PluginError as :func:`gpttasks.metrics.rows.sample_rows` does.
    """
    form = pair_form(metric)
    if form is None or not examples:
        return metric.total(sample_rows(metric, examples, answers, key=metric.name))
    pairs = [form.encode(example, answer) for example, answer in zip(examples, answers, strict=True)]
    predictions, references = (list(column) for column in zip(*pairs, strict=True))
    return float(_wrap(metric, form).compute(predictions=predictions, references=references)[metric.name])


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _wrap(metric: Metric, form: PairForm) -> evaluate.Metric:
    import evaluate
    from datasets import Features, List, Value

    features = {"number": Value("float64"), "numbers": List(Value("float64")), "text": Value("string")}

    class PairMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=type(metric).__doc__ or metric.name,
                citation="",
                inputs_description=form.description,
                features=Features({"predictions": features[form.prediction], "references": features[form.reference]}),
            )

        def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> Any:
            """Compute the metric over the given pairs and those that were added before."""
            if predictions is None and references is None and self.writer is None:
                raise UserError(f"metric {metric.name!r} has nothing to score", hint="give or add pairs first")
            return super().compute(predictions=predictions, references=references, **kwargs)

        def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
            return {metric.name: _pairs_total(metric, form, predictions, references)}

    # Evaluate tells the metrics of a combination apart by the names of their classes.
    PairMetric.__name__ = type(metric).__name__
    return PairMetric(keep_in_memory=True)


def _pairs_total(metric: Metric, form: PairForm, predictions: list[Any], references: list[Any]) -> float:
    """The total over pairs, which are numbered from 0 in messages."""
    if not predictions:
        raise UserError(f"metric {metric.name!r} has nothing to score", hint="give at least one pair")
    examples, answers = [], []
    for index, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            example, answer = form.decode(prediction, reference, str(index))
        except ValueError as error:
            raise UserError(f"metric {metric.name!r} cannot read pair {index}: {error}") from error
        examples.append(example)
        answers.append(answer)
    return metric.total(sample_rows(metric, examples, answers, key=metric.name))
