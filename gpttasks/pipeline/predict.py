"""Answers to new input with the model, the task and the head of a finished run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..adaptations.none import NoAdaptation
from ..backbones.run import MODEL_KINDS, RunBackbone, RunOptions, finished_recipe
from ..component import with_origin
from ..data.options import DataOptions
from ..data.readers import Quoting
from ..data.rows import Row
from ..errors import DataError, FolderError, Problem
from ..example import Example
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
from .bind import check_more_rows
from .check_examples import check_examples
from .chunks import characters, chunks
from .parts import PreparedRun, RunParts
from .session import Session

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..records.dependencies import Kind

Pair: TypeAlias = tuple[Row, Example]
"""A row and the example that the task makes of it."""


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
        self.changes: Sequence[str] = ()
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

    def text_rows(self, texts: Iterable[str]) -> Iterator[Row]:
        """Rows of the task's one input column. Raises DataError at once if it has several."""
        if len(self.columns) != 1:
            named = ", ".join(self.columns) or "unknown"
            raise DataError(
                f"the task {self.task.name!r} has the input columns {named}, so plain text is not enough",
                hint="give a file with these columns: --input FILE.csv",
            )
        return (Row({self.columns[0]: text}, place=f"text {number}") for number, text in enumerate(texts, 1))

    def predict(
        self,
        rows: Iterable[Row],
        ready: Callable[[], bool] = lambda: True,
        watch: Callable[[int, int], None] = lambda rows, tokens: None,
    ) -> Iterator[Prediction]:
        """The answers, in the order of the rows; some thousands of rows at most are in memory at a time.

        Raises DataError for a row that cannot be read or answered, after the answers to all rows before it.

        ready:
            whether the next row comes without a wait; if not, the rows so far are answered first.
        watch:
            is called with the numbers of rows and of tokens that are done.
        """
        pairs = self._examples(rows)
        first = next(pairs, None)
        if first is None:
            return
        sized = chunks(chain([first], pairs), lambda pair: characters(pair[0]), ready)
        with (
            Session(self.plugins) if self.session is None else nullcontext(self.session) as session,
            self._loaded(session, [first]) as prepared,  # the first row alone: another may be refused only later
        ):
            if isinstance(prepared.backbone, RunBackbone):
                self.changes, self.unknown = prepared.backbone.changes_as_text(), prepared.backbone.unknown
            for chunk in sized:
                yield from _answers(prepared, chunk, watch)

    def _examples(self, rows: Iterable[Row]) -> Iterator[Pair]:
        """Each row with its example. Raises DataError for a row of which the task does not make one example."""
        data = self.recipe.data.model_copy(update={"bad_rows": "error", "id": None, "group": None})
        advice = "correct this row, or leave it out of the input"
        read: deque[Row] = deque()
        made = 0

        def remembered() -> Iterator[Row]:
            for row in rows:
                read.append(row)
                yield row

        for example in ExampleReader(self.task, data, advice=advice, streams=True).read(remembered()):
            made += 1
            if not read:
                raise DataError(f"the task made {made} examples from {made - 1} rows, expected one per row")
            yield read.popleft(), example
        if read:
            raise DataError(f"the task made {made} examples from {made + len(read)} rows, expected one per row")

    def _loaded(self, session: Session, pairs: Sequence[Pair]) -> AbstractContextManager[PreparedRun]:
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
        parts.task, parts.shots = self.task, self._shots()
        _use_rows(parts, pairs)
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


def _use_rows(parts: RunParts, pairs: Sequence[Pair]) -> None:
    """Make these rows the ones to be answered. Raises DataError for examples that the head refuses."""
    examples = tuple(example for _, example in pairs)
    parts.sets = {"test": ExampleSet("test", "input", examples, len(pairs), 0, "given", "")}
    parts.rows = [row for row, _ in pairs]
    check_examples(parts)


def _answers(prepared: PreparedRun, pairs: Sequence[Pair], watch: Callable[[int, int], None]) -> Iterator[Prediction]:
    """The answers to some rows. If one of them is refused, those before it are answered first, by halving."""
    try:
        predictions = _answered_together(prepared, pairs, watch)
    except DataError:
        if len(pairs) == 1:
            raise
        half = len(pairs) // 2
        yield from _answers(prepared, pairs[:half], watch)
        yield from _answers(prepared, pairs[half:], watch)
        raise  # no row alone is to blame
    yield from predictions


def _answered_together(
    prepared: PreparedRun, pairs: Sequence[Pair], watch: Callable[[int, int], None]
) -> list[Prediction]:
    """The answers to some rows, which the engine gets together."""
    _use_rows(prepared, pairs)
    check_more_rows(prepared)
    examples = [example for _, example in pairs]
    asked = with_their_shots(prepared, examples)
    answered = answer_all(
        prepared.head, prepared.engine, examples, asked, watch=lambda requests, tokens: watch(0, tokens)
    )
    predictions = []
    for (row, _), one in zip(pairs, answered, strict=True):
        choices = one.example.choices if len(one.example.choices) == len(one.answer.scores) else ()
        scores = dict(zip(choices, one.answer.scores, strict=False))
        predictions.append(Prediction(row, one.shown, scores, one.cut_tokens, one.empty, one.columns, one.stored))
    watch(len(pairs), 0)
    return predictions
