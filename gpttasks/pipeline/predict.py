"""Answers to new input with the model, the task and the head of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adaptations.none import NoAdaptation
from ..backbones.run import MODEL_KINDS, RunBackbone, RunOptions, finished_recipe
from ..component import with_origin
from ..data.options import DataOptions
from ..data.readers import Quoting
from ..data.rows import Row
from ..errors import DataError, FolderError, Problem
from ..plugins.faults import create
from ..plugins.recorded import name_missing_owner
from ..recipe.schema import Use
from ..records.run import RECORD, read_run
from ..tasks.reading import ExampleReader
from ..tasks.shots import ShotPool
from ..tasks.splits import ExampleSet
from ..tasks.task import Task
from ..trust import CodeOrigin
from .answering import answer_all, with_their_shots
from .check_examples import check_examples
from .parts import PreparedRun
from .session import Session

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..records.dependencies import Change, Kind


@dataclass(frozen=True)
class Prediction:
    """A row, its answer as text, and the probability of each choice if the head has choices.

    value:
        the answer's value in its stored form.
    columns:
        what the kind of the answer adds, such as the nats of a likelihood.
    empty:
        whether the head writes texts and this text is blank.
    """

    row: Mapping[str, Any]
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    cut_tokens: int = 0
    empty: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)
    value: Any = None


class Predictor:
    """A finished run, ready to answer. The model is loaded with the first rows.

    session:
        keeps the model in memory from one call of :meth:`predict` to the next; None loads it for each.
    accepted:
        what may differ from what the run was made with, such as ``base``.
    trust_code:
        whether Python code may be run that the run's recipe names or that lies in its folder.
    changes:
        what differs, and was accepted; known once there are predictions.
    unknown:
        what could not be compared, and why; known once there are predictions.
    """

    def __init__(
        self,
        folder: Path,
        plugins: Plugins,
        session: Session | None = None,
        accepted: Sequence[Kind] = (),
        *,
        trust_code: bool = False,
    ) -> None:
        self.folder, self.plugins, self.session, self.trust_code = folder, plugins, session, trust_code
        self.accepted = tuple(accepted)
        self.changes: Sequence[Change] = ()
        self.unknown: Sequence[str] = ()
        needed = MODEL_KINDS | {"task", "head", "encoder"}
        self.recipe = finished_recipe(folder, plugins, needed, trust_code=trust_code)
        self.task: Task = create(plugins, "task", self.recipe.task.name, self.recipe.task.options)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row needs; empty if the task does not say."""
        return tuple(sorted(self.task.columns - self.task.answer_columns))

    @property
    def quoting(self) -> Quoting | None:
        """How the run reads quotes in delimited files; None: as their suffix does."""
        data = self.recipe.data
        return data.quoting if isinstance(data, DataOptions) else None

    def plugins_named(self, problem: Problem, name: str) -> Problem:
        """The problem; if a plugin of the run that is missing now registered ``name``, its hint says how to get it."""
        return name_missing_owner(problem, name, self.folder / RECORD, self.plugins)

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
            raise DataError(f"the task made {len(examples)} examples from {len(rows)} rows, expected one per row")
        given = ExampleSet("test", "input", examples, len(rows), 0, "given", "")
        with Session(self.plugins) if self.session is None else nullcontext(self.session) as session:
            yield from self._answers(session, given, rows)

    def _answers(self, session: Session, given: ExampleSet, rows: list[Row]) -> Iterator[Prediction]:
        with self._loaded(session, given, rows) as prepared:
            if isinstance(prepared.backbone, RunBackbone):
                self.changes, self.unknown = prepared.backbone.changes, prepared.backbone.unknown
            asked = with_their_shots(prepared, given.examples)
            answered = answer_all(prepared.head, prepared.engine, given.examples, asked, what="predicting")
            for row, one in zip(rows, answered, strict=True):
                choices = one.example.choices if len(one.example.choices) == len(one.answer.scores) else ()
                scores = dict(zip(choices, one.answer.scores, strict=False))
                yield Prediction(row, one.shown, scores, one.cut_tokens, one.empty, one.columns, one.stored)

    def _loaded(self, session: Session, given: ExampleSet, rows: list[Row]) -> AbstractContextManager[PreparedRun]:
        """The run as the backbone of itself: nothing is trained, and the rows are what is scored, with its shots."""
        own = RunOptions(path=str(self.folder), accept_changed=self.accepted)
        options = with_origin(own, CodeOrigin(trusted=self.trust_code))
        recipe = self.recipe.model_copy(
            update={
                "backbone": Use(name=RunBackbone.name, options=options),
                "adapt": Use(name=NoAdaptation.name, options=NoAdaptation.Options()),
                "train": None,
                "data": self.recipe.data.model_copy(update={"too_long": "error"}),
                "score": self.recipe.score.model_copy(update={"split": "test", "metrics": ()}),
            }
        )
        parts = session.parts(recipe)
        parts.task, parts.sets, parts.rows = self.task, {"test": given}, rows
        parts.shots = self._shots()
        check_examples(parts)
        return session.loaded(parts, *session.set_up(recipe.runtime))

    def _shots(self) -> ShotPool | None:
        """The solved examples that the run showed; None if it showed none.

        Raises FolderError for a run of an earlier version, which did not write them down.
        """
        if not self.recipe.score.shots:
            return None
        recorded = read_run(self.folder).record.shots
        if not recorded:
            raise FolderError(
                f"{self.folder} showed {self.recipe.score.shots} shots before each prompt, but {RECORD} has none",
                hint="the run was made by an earlier version: run its recipe again with --force",
            )
        return ShotPool((shot.example() for shot in recorded), self.recipe.seed, ordered=True)
