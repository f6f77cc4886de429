"""The metric ``lm-eval``: a metric of the harness's task, computed by the harness's own code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gpttasks import Answer, DataError, Example, Metric, Options, Problem, did_you_mean

from .example import HarnessExample, harness_of

if TYPE_CHECKING:
    import numpy as np

    from gpttasks import Statistic

    from .harness import Harness

ACCURACIES = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "f1"})
"""The harness's metrics that lie between 0 and 1."""


class HarnessMetricOptions(Options):
    """The options of the metric ``lm-eval``."""

    name: str | None = Field(
        None, description="the name of the metric in the harness, such as acc_norm; null uses the first"
    )
    filter: str | None = Field(
        None, description="the filter pipeline of the task, such as strict-match; null uses the first"
    )


class HarnessMetric(Metric):
    """A metric of the harness's task: its filters, its process_results and its aggregation.

    A metric that the harness computes of numbers for each document can be used; one that it computes of all texts at
    once (bleu, chrf, ter) is refused: head ``generate`` has metrics of that name.
    """

    name = "lm-eval"
    Options = HarnessMetricOptions
    needs = frozenset({"instances"})
    takes = frozenset({"responses"})

    options: HarnessMetricOptions

    def __init__(self, options: HarnessMetricOptions | None = None) -> None:
        super().__init__(options)
        self._harness: Harness | None = None
        self._items: dict[str, Any] = {}
        self._like: Any = 0.0
        self._whole: tuple[bool, ...] = ()

    @property
    def higher_is_better(self) -> bool:
        """As the harness says of it."""
        better = self._harness.inner.higher_is_better().get(self._name(self._harness)) if self._harness else True
        return True if better is None else bool(better)

    @property
    def statistic(self) -> Statistic:
        """A mean, of 1 and 0 a share, where the harness averages one number for each document."""
        if self._harness is None:  # before there are examples; the harness is not imported for a recipe's check
            return "corpus"
        from lm_eval.api.metrics import mean

        name = self._name(self._harness)
        if self._harness.inner.aggregation()[name] is not mean:
            return "corpus"
        return "share" if name in ACCURACIES else "mean"

    @property
    def scale(self) -> tuple[float | None, float | None]:
        """0 to 1 for accuracies; others are not bounded."""
        name = self._name(self._harness) if self._harness else None
        return {"mcc": (-1.0, 1.0)}.get(name or "", (0.0, 1.0) if name in ACCURACIES else (None, None))

    def check(self, example: Example) -> None:
        """Raises DataError for a metric or a filter that the task does not have, and for one of texts."""
        harness = harness_of(example)
        if harness is self._harness:
            return
        self._harness = harness
        for key, known in (("name", harness.metrics), ("filter", harness.filters)):
            given = getattr(self.options, key)
            if given is not None and given not in known:
                what = {"name": "metric", "filter": "filter"}[key]
                message = f"the harness's task {harness.task_name!r} has no {what} {given!r}"
                listed = f"it has {', '.join(known) or 'none'}"
                hint = "; ".join(text for text in (did_you_mean(given, known), listed) if text)
                raise DataError(Problem(message, key="score.metrics", hint=hint))
        if not harness.metrics:
            raise DataError(f"the harness's task {harness.task_name!r} has no metric", hint="give it a metric_list")
        self._rehearse(harness, example)

    def prepare(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Let the harness filter and score all responses."""
        harness = self._harness = harness_of(examples[0])
        name, key = self._name(harness), self._filter(harness)
        mine = [example for example in examples if isinstance(example, HarnessExample)]
        responses = [[[_response(one) for one in given] for given in answer.value] for answer in answers]
        results = harness.results(mine, responses, key)
        self._items = {example.id: found[name] for example, found in zip(mine, results, strict=True) if name in found}
        self._like = next(iter(self._items.values()), 0.0)
        # A class index stays an integer; a likelihood that happens to be the integer 0 does not make others integers.
        self._whole = whole_numbers(self._items.values())

    def signature(self, examples: Sequence[Example]) -> str | None:
        """The harness's version, and the task's, with the metric and the filter."""
        harness = harness_of(examples[0])
        return f"{harness.signature()}, {self._name(harness)} after {self._filter(harness)}"

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """The numbers of the item that the harness keeps for the document."""
        if example.id not in self._items:
            raise ValueError("the harness gave no value of this metric for it, expected one for each document")
        item = self._items[example.id]
        numbers = tuple(float(number) for number in numbers_in(item))
        if shape_of(item) != shape_of(self._like):
            raise ValueError(f"the harness gave {item!r}, expected numbers of the same form as {self._like!r}")
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"the harness gave {item!r}, expected finite numbers")
        return numbers

    def total(self, rows: np.ndarray) -> float:
        """The harness's aggregation; NaN where it divides by nothing or overflows."""
        assert self._harness is not None
        aggregate = self._harness.inner.aggregation()[self._name(self._harness)]
        if shape_of(self._like) is None:
            items: list[Any] = rows[:, 0].tolist()
        else:
            items = [rebuilt(self._like, zip(row, self._whole, strict=True)) for row in rows.tolist()]
        try:
            return float(aggregate(items))
        except ArithmeticError:
            return math.nan

    def _name(self, harness: Harness) -> str:
        return self.options.name or harness.metrics[0]

    def _filter(self, harness: Harness) -> str:
        return self.options.filter or harness.filters[0]

    def _rehearse(self, harness: Harness, example: Example) -> None:
        """Score one example with made-up responses, so that a value that is not a number is reported at once."""
        assert isinstance(example, HarnessExample)
        made_up = {"loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0}
        responses = [[made_up.get(one.request_type, "")] * int(one.repeats or 1) for one in example.instances]
        name = self._name(harness)
        try:
            item = harness.results([example], [responses], self._filter(harness))[0][name]
        except Exception:  # code that does not expect an empty text may well read a real one
            return
        try:
            tuple(numbers_in(item))
        except ValueError as error:
            message = f"the harness computes {name!r} of its task {harness.task_name!r} of more than numbers: {error}"
            hint = "use head: generate and a metric such as bleu, chrf, ter, rouge or token_f1"
            raise DataError(Problem(message, key="score.metrics", hint=hint)) from error


def numbers_in(item: Any) -> Iterator[int | float]:
    """The numbers of an item, in order. Raises ValueError for anything else in it."""
    value = _scalar(item)
    if isinstance(value, (bool, int, float)):
        yield value
    elif isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        for inner in value:
            yield from numbers_in(inner)
    else:
        raise ValueError(f"got {value!r}, expected numbers")


def shape_of(item: Any) -> Any:
    """How the numbers of an item are nested: None for a number, else a tuple."""
    value = _scalar(item)
    return None if isinstance(value, (bool, int, float)) else tuple(shape_of(inner) for inner in value)


def whole_numbers(items: Iterable[Any]) -> tuple[bool, ...]:
    """For each number of an item, whether it is an integer in all of the items, as far as they are numbers."""
    try:
        columns = zip(*(tuple(numbers_in(item)) for item in items), strict=False)
        return tuple(all(isinstance(number, int) for number in column) for column in columns)
    except ValueError:  # reported for the item that has a text, when its turn comes
        return ()


def rebuilt(like: Any, numbers: Iterator[tuple[float, bool]]) -> Any:
    """An item of the form of ``like``, with these numbers, each with whether it is an integer."""
    import numpy as np

    value = _scalar(like)
    if isinstance(value, (bool, int, float)):
        number, whole = next(numbers)
        return int(number) if whole else number
    inner = [rebuilt(part, numbers) for part in value]
    return np.array(inner) if hasattr(value, "tolist") else type(value)(inner)


def _scalar(value: Any) -> Any:
    """A number of numpy as one of Python; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _response(value: Any) -> Any:
    """A response as the harness's models give it: a log-likelihood with its greedy is a tuple."""
    return tuple(value) if isinstance(value, list) else value
