"""A metric as an ``evaluate.Metric``, made in this process: nothing is downloaded and no script is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from ..answer import Answer
from ..errors import PluginError, UserError
from ..example import Example, prompt_text
from ..tasks.labels import right_labels
from .base import total_of
from .rows import sample_rows

if TYPE_CHECKING:
    import evaluate

    from .base import Metric

FeatureKind = Literal["number", "numbers", "text", "texts"]


@dataclass(frozen=True)
class PairForm:
    """How an answered example is written as a (prediction, reference) pair, and rebuilt from one.

    ``decode`` takes the pair and the example's id, and raises ValueError for a pair that it cannot read. ``problem``
    says what is wrong with a pair, None if nothing; it sees the pair before Arrow does, which turns anything into
    text. If ``reference`` is None, the form has predictions only, and the reference of each pair is None.
    """

    description: str
    prediction: FeatureKind
    reference: FeatureKind | None
    encode: Callable[[Example, Answer], tuple[Any, Any]]
    decode: Callable[[Any, Any, str], tuple[Example, Answer]]
    problem: Callable[[Any, Any], str | None] | None = None


def _class_index(number: float | None) -> int:
    if number is None or not float(number).is_integer():
        raise ValueError(f"got {number!r}, expected a class index (a whole number)")
    return int(number)


def _numbers(numbers: list[float] | None) -> tuple[float, ...]:
    if not numbers or any(number is None for number in numbers):
        raise ValueError(f"got {numbers!r}, expected a list of numbers")
    return tuple(numbers)


def _no_text(prediction: Any, reference: Any) -> str | None:
    return None if isinstance(prediction, str) else f"the prediction is {prediction!r}, expected a string"


def _no_text_with_references(prediction: Any, references: Any) -> str | None:
    # A single string would count as a list of letters, each of them a reference.
    if not isinstance(references, (list, tuple)) or not references:
        return f"the references are {references!r}, expected a list of one or more strings for each prediction"
    for reference in references:
        if not isinstance(reference, str):
            return f"a reference is {reference!r}, expected a string: each prediction has one list of strings"
    return _no_text(prediction, references)


# Class indices travel as floats: as integers, 0.7 would silently be cut to 0.
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
_NUMBERS = PairForm(
    "predictions: the predicted numbers. references: the right ones.",
    "number",
    "number",
    lambda example, answer: (answer.value, example.value),
    lambda prediction, reference, id: (Example(value=reference, id=id), Answer(prediction)),
)


def _with_labels(right: list[float] | None, id: str) -> Example:
    numbers = _numbers(right)
    if any(number not in (0, 1) for number in numbers):
        raise ValueError(f"got {right!r}, expected 1 for a right label and 0 for any other")
    labels = [index for index, number in enumerate(numbers) if number]
    return Example(choices=[str(index) for index in range(len(numbers))], labels=labels, id=id)


def _chosen(example: Example, answer: Answer) -> list[float]:
    return [float(index in answer.value) for index in range(len(example.choices))]


def _indices_of(chosen: list[float] | None, right: list[float] | None) -> list[int]:
    numbers = _numbers(chosen)
    if any(number not in (0, 1) for number in numbers) or len(numbers) != len(right or ()):
        raise ValueError(f"got {chosen!r}, expected a 1 or 0 for each of {len(right or ())} labels")
    return [index for index, number in enumerate(numbers) if number]


_LABELS = PairForm(
    "predictions: for each sample a 1 or 0 for each label. references: the same, of the right labels.",
    "numbers",
    "numbers",
    lambda example, answer: (_chosen(example, answer), list(right_labels(example))),
    lambda prediction, reference, id: (_with_labels(reference, id), Answer(_indices_of(prediction, reference))),
)
_LABEL_PROBABILITIES = PairForm(
    "predictions: for each sample the probability of each label. references: a 1 or 0 for each.",
    "numbers",
    "numbers",
    lambda example, answer: (list(answer.scores), list(right_labels(example))),
    lambda prediction, reference, id: (_with_labels(reference, id), Answer([], scores=_numbers(prediction))),
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
_TEXTS = PairForm(
    "predictions: the texts. references: for each text a list of the texts that count as right, one or more.",
    "text",
    "texts",
    lambda example, answer: (answer.text, list(example.references)),
    lambda prediction, references, id: (
        Example(references=references, id=id),
        Answer(prediction, prediction),
    ),
    _no_text_with_references,
)
_TEXTS_ALONE = PairForm(
    "predictions: the texts. References are not used.",
    "text",
    None,
    lambda example, answer: (answer.text, None),
    lambda prediction, reference, id: (Example(id=id), Answer(prediction, prediction)),
    _no_text,
)


def pair_form(metric: Metric) -> PairForm | None:
    """The form in which the metric scores (prediction, reference) pairs; None if a pair cannot hold what it reads."""
    if metric.takes == {"label"} and metric.needs <= {"label"}:
        if metric.reads <= {"value"}:
            return _INDICES
        return _PROBABILITIES if metric.reads == {"scores"} else None
    if metric.takes == {"number"} and metric.needs <= {"value"} and metric.reads <= {"value"}:
        return _NUMBERS
    if metric.takes == {"labels"} and metric.needs <= {"choices", "labels"}:
        if metric.reads <= {"value"}:
            return _LABELS
        return _LABEL_PROBABILITIES if metric.reads == {"scores"} else None
    if metric.takes == {"nll"} and metric.needs <= {"prompt"} and metric.reads <= {"value", "scores"}:
        return _LIKELIHOODS
    if "text" in metric.takes and metric.needs <= {"references"} and metric.reads == {"text"}:
        return _TEXTS if metric.needs else _TEXTS_ALONE
    return None


def as_evaluate_metric(metric: Metric) -> evaluate.Metric:
    """The metric as an ``evaluate.Metric`` that holds its pairs in memory.

    ``compute(predictions=..., references=...)`` gives ``{metric.name: value}``; ``add``, ``add_batch`` and
    ``evaluate.combine`` work as with any other. The value is NaN where the score is undefined. ``compute`` raises
    UserError without pairs, and RunFailed for a pair that the metric cannot score.

    Raises PluginError for a metric that reads more than pairs of its kind of answer hold.
    """
    form = pair_form(metric)
    if form is None:
        raise PluginError(
            f"metric {metric.name!r} cannot score pairs of predictions and references: it takes "
            f"{_names(metric.takes)}, needs {_names(metric.needs)} of the example and reads {_names(metric.reads)}",
            hint="pairs hold a label and a predicted label or its probabilities, a text and its likelihood, or a text "
            "and its references",
        )
    return _wrap(metric, form)


def evaluate_total(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer]) -> float:
    """What the metric as ``evaluate.Metric`` computes for answered examples; NaN where it is undefined.

    Evaluate holds a prediction and a reference for each sample or, for a metric that reads more than such a pair, the
    sample's number. Either way the metric sees the fields in ``needs`` and ``reads`` only.

    Raises RunFailed and PluginError as :func:`gpttasks.metrics.rows.sample_rows` does.
    """
    if not examples:
        return total_of(metric, sample_rows(metric, examples, answers, key=metric.name))
    # A pair has no place for fields that only some examples have, and none for a missing answer.
    pairs_suffice = not metric.optional and not any(answer.is_missing for answer in answers)
    form = (pair_form(metric) if pairs_suffice else None) or _numbered(metric, examples, answers)
    pairs = [form.encode(example, answer) for example, answer in zip(examples, answers, strict=True)]
    predictions, references = (list(column) for column in zip(*pairs, strict=True))
    return float(_wrap(metric, form).compute(predictions=predictions, references=references)[metric.name])


def needed_fields(example: Example, needs: frozenset[str]) -> Example:
    """The example with its id and the fields in ``needs`` alone; one of a subclass of Example stays as it is."""
    if type(example) is not Example:
        return example
    kept: dict[str, Any] = {name: getattr(example, name) for name in needs}
    return Example(**{"id": example.id, **kept})


def read_fields(answer: Answer, reads: frozenset[str]) -> Answer:
    """The answer with the fields in ``reads`` alone; a missing answer is not changed."""
    if answer.is_missing:
        return answer
    kept: dict[str, Any] = {name: getattr(answer, name) for name in reads}
    return Answer(**{"value": None, **kept})


def _numbered(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer]) -> PairForm:
    """The form in which Evaluate holds the numbers of these samples, which are encoded in their order."""
    numbers = count()

    def encode(example: Example, answer: Answer) -> tuple[int, int]:
        number = next(numbers)
        return number, number

    def decode(prediction: Any, reference: Any, id: str) -> tuple[Example, Answer]:
        example, answer = examples[int(reference)], answers[int(prediction)]
        return needed_fields(example, metric.needs | metric.optional), read_fields(answer, metric.reads)

    return PairForm("predictions and references: the samples' numbers.", "number", "number", encode, decode)


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _features(form: PairForm) -> Any:
    """The columns in which evaluate holds pairs of this form."""
    from datasets import Features, List, Value

    kinds = {
        "number": Value("float64"),
        "numbers": List(Value("float64")),
        "text": Value("string"),
        "texts": List(Value("string")),
    }
    columns = {"predictions": kinds[form.prediction]}
    if form.reference is not None:
        columns["references"] = kinds[form.reference]
    return Features(columns)


def _wrap(metric: Metric, form: PairForm) -> evaluate.Metric:
    import evaluate

    class PairMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=type(metric).__doc__ or metric.name,
                citation="",
                inputs_description=form.description,
                features=_features(form),
            )

        def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> Any:
            """Compute the metric over the given pairs and those that were added before."""
            unread = references is None or form.reference is None
            if predictions is None and unread and self.writer is None:
                raise UserError(f"metric {metric.name!r} has nothing to score", hint="give or add pairs first")
            return super().compute(predictions=predictions, references=references, **kwargs)

        def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
            """Add one pair."""
            # evaluate.combine passes a pair under the names of the columns.
            given = {"predictions": prediction, "references": reference, **kwargs}
            _check_pairs(metric, form, [given["predictions"]], [given["references"]])
            super().add(prediction=prediction, reference=reference, **kwargs)

        def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
            """Add pairs."""
            _check_pairs(metric, form, predictions, references)
            super().add_batch(predictions=predictions, references=references, **kwargs)

        def _compute(self, predictions: list[Any], references: list[Any] | None = None) -> dict[str, float]:
            return {metric.name: _pairs_total(metric, form, predictions, references)}

    # Evaluate tells the metrics of a combination apart by the names of their classes.
    PairMetric.__name__ = type(metric).__name__
    return PairMetric(keep_in_memory=True)


def _check_pairs(metric: Metric, form: PairForm, predictions: Any, references: Any) -> None:
    """Raises UserError for pairs as they were given, if the form says what is wrong with them."""
    if form.problem is None:
        return
    for what, given in (("predictions", predictions), ("references", references)):
        if (given is None or isinstance(given, str)) and (what == "predictions" or form.reference):
            raise UserError(f"metric {metric.name!r}: the {what} are {given!r}, expected a list", hint=form.description)
    if form.reference is None:
        references = [None] * len(predictions)
    if len(predictions) != len(references):
        raise UserError(
            f"metric {metric.name!r}: {len(predictions)} predictions and references for {len(references)}",
            hint=form.description,
        )
    for index, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        problem = form.problem(prediction, reference)
        if problem:
            raise UserError(f"metric {metric.name!r} cannot read pair {index}: {problem}")


def _pairs_total(metric: Metric, form: PairForm, predictions: list[Any], references: list[Any] | None) -> float:
    """The total over pairs, which are numbered from 0 in messages."""
    if not predictions:
        raise UserError(f"metric {metric.name!r} has nothing to score", hint="give at least one pair")
    if references is None:
        references = [None] * len(predictions)
    examples, answers = [], []
    for index, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            example, answer = form.decode(prediction, reference, str(index))
        except ValueError as error:
            raise UserError(f"metric {metric.name!r} cannot read pair {index}: {error}") from error
        examples.append(example)
        answers.append(answer)
    return total_of(metric, sample_rows(metric, examples, answers, key=metric.name))
