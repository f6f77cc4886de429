"""Answers to new input with the model, the task and the head of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adaptations.none import NoAdaptation
from ..backbones.run import RunBackbone, RunOptions, finished_recipe
from ..data.rows import Row
from ..errors import DataError
from ..tasks.reading import ExampleReader
from ..tasks.splits import ExampleSet
from ..tasks.task import Task
from .answering import answer_all
from .prepare import Workbench, create, load_and_bind

if TYPE_CHECKING:
    from ..plugins import Plugins


@dataclass(frozen=True)
class Prediction:
    """A row, the answer to it as text, and a probability for each choice where the head has choices."""

    row: Mapping[str, Any]
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    cut_tokens: int = 0


class Predictor:
    """A finished run, ready to answer. The model is loaded with the first rows."""

    def __init__(self, folder: Path, plugins: Plugins) -> None:
        self.folder, self.plugins = folder, plugins
        self.recipe = finished_recipe(folder, plugins)
        self.task: Task = create(plugins, "task", self.recipe.task)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row needs; empty if the task does not say."""
        return tuple(sorted(self.task.columns - self.task.answer_columns))

    def text_rows(self, texts: Iterable[str]) -> list[Row]:
        """Rows of the task's one input column. Raises DataError if it has several."""
        if len(self.columns) != 1:
            named = ", ".join(self.columns) or "unknown"
            raise DataError(
                f"the task {self.task.name!r} has the input columns {named}, so plain text is not enough",
                hint="give a file with these columns: --input FILE.csv",
            )
        return [Row({self.columns[0]: text}, place=f"text {number}") for number, text in enumerate(texts, 1)]

    def predict(self, rows: Iterable[Row]) -> Iterator[Prediction]:
        """The answers, in the order of the rows. Raises DataError for a row the task cannot read."""
        rows = list(rows)
        data = self.recipe.data.model_copy(update={"bad_rows": "error", "id": None, "group": None})
        advice = "correct these rows, or leave them out of the input"
        examples = tuple(ExampleReader(self.task, data, advice=advice).read(rows))
        if not examples:
            return
        if len(examples) != len(rows):
            raise DataError(
                f"the task made {len(examples)} examples of {len(rows)} rows; only one a row can be predicted"
            )
        bench = self._bench(ExampleSet("test", "input", examples, len(rows), 0, "given", ""), rows)
        for row, one in zip(rows, answer_all(bench.head, bench.engine(), examples, what="predicting"), strict=True):
            given = one.example.choices if len(one.example.choices) == len(one.answer.scores) else ()
            scores = dict(zip(given, one.answer.scores, strict=False))
            yield Prediction(row, one.shown, scores, one.cut_tokens)

    def _bench(self, examples: ExampleSet, rows: list[Row]) -> Workbench:
        from ..runtime import choose_device, choose_precision

        recipe = self.recipe
        score = recipe.score.model_copy(update={"split": "test"})
        device = choose_device(recipe.runtime.device)
        bench = Workbench(
            recipe.model_copy(update={"score": score}),
            device,
            choose_precision(recipe.runtime.precision, device),
            self.task,
            create(self.plugins, "head", recipe.head),
            NoAdaptation(),
            {},
            {"test": examples},
            RunBackbone(RunOptions(path=str(self.folder))),
            given=rows,
        )
        if recipe.encoder is not None:
            bench.encoder = create(self.plugins, "encoder", recipe.encoder)
        load_and_bind(bench, self.plugins)
        return bench
