"""Answers to new input with the model, the task and the head of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adaptations.none import NoAdaptation
from ..backbones.run import RunBackbone, RunOptions, finished_recipe
from ..data.rows import Row
from ..errors import DataError
from ..plugins.faults import create
from ..recipe.schema import Use
from ..tasks.reading import ExampleReader
from ..tasks.splits import ExampleSet
from ..tasks.task import Task
from .answering import answer_all
from .check_examples import check_examples
from .parts import PreparedRun
from .session import Session

if TYPE_CHECKING:
    from ..plugins import Plugins


@dataclass(frozen=True)
class Prediction:
    """A row, its answer as text, and a probability for each choice if the head has choices."""

    row: Mapping[str, Any]
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    cut_tokens: int = 0


class Predictor:
    """A finished run, ready to answer. The model is loaded with the first rows.

    session:
        keeps the model in memory from one call of :meth:`predict` to the next; None loads it for each.
    """

    def __init__(self, folder: Path, plugins: Plugins, session: Session | None = None) -> None:
        self.folder, self.plugins, self.session = folder, plugins, session
        self.recipe = finished_recipe(folder, plugins)
        self.task: Task = create(plugins, "task", self.recipe.task.name, self.recipe.task.options)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row needs; empty if the task does not declare them."""
        return tuple(sorted(self.task.columns - self.task.answer_columns))

    def text_rows(self, texts: Iterable[str]) -> list[Row]:
        """Rows of the task's one input column. Raises DataError if it has several."""
        if len(self.columns) != 1:
            names = ", ".join(self.columns) or "unknown"
            raise DataError(
                f"the task {self.task.name!r} has the input columns {names}, so plain text is not enough",
                hint="give a file with these columns: --input FILE.csv",
            )
        return [Row({self.columns[0]: text}, place=f"text {number}") for number, text in enumerate(texts, 1)]

    def predict(self, rows: Iterable[Row]) -> Iterator[Prediction]:
        """The answers, in the order of the rows. Raises DataError for a row that the task cannot read."""
        rows = list(rows)
        data = self.recipe.data.model_copy(update={"bad_rows": "error", "id": None, "group": None})
        advice = "correct these rows, or leave them out of the input"
        examples = tuple(ExampleReader(self.task, data, advice=advice).read(rows))
        if not examples:
            return
        if len(examples) != len(rows):
            raise DataError(f"the task made {len(examples)} examples from {len(rows)} rows, expected one per row")
        input_set = ExampleSet("test", "input", examples, len(rows), 0, "given", "")
        with Session(self.plugins) if self.session is None else nullcontext(self.session) as session:
            yield from self._answers(session, input_set, rows)

    def _answers(self, session: Session, input_set: ExampleSet, rows: list[Row]) -> Iterator[Prediction]:
        with self._loaded(session, input_set, rows) as prepared:
            answered = answer_all(prepared.head, prepared.engine, input_set.examples, what="predicting")
            for row, one in zip(rows, answered, strict=True):
                choices = one.example.choices if len(one.example.choices) == len(one.answer.scores) else ()
                scores = dict(zip(choices, one.answer.scores, strict=False))
                yield Prediction(row, one.shown, scores, one.cut_tokens)

    def _loaded(self, session: Session, input_set: ExampleSet, rows: list[Row]) -> AbstractContextManager[PreparedRun]:
        """The run with itself as the backbone: nothing is trained, and the rows are scored."""
        recipe = self.recipe.model_copy(
            update={
                "backbone": Use(name=RunBackbone.name, options=RunOptions(path=str(self.folder))),
                "adapt": Use(name=NoAdaptation.name, options=NoAdaptation.Options()),
                "train": None,
                "score": self.recipe.score.model_copy(update={"split": "test", "shots": 0, "metrics": ()}),
            }
        )
        parts = session.parts(recipe)
        parts.task, parts.sets, parts.rows = self.task, {"test": input_set}, rows
        check_examples(parts)
        return session.loaded(parts, *session.set_up(recipe.runtime))
