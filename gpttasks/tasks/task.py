"""The task contract: rows of data in, examples out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self

from ..component import Component
from ..data.rows import Row
from ..declarations import BOOLEAN, COLUMNS, FIELDS, MAPPING, all_of, or_none
from ..errors import GpttasksError, PluginError, UnusableRow
from ..example import Example
from .extensions import Extensions, current_extensions

if TYPE_CHECKING:
    from ..data.sources import Source


class Task(Component):
    """How rows of data become examples. A subclass defines ``name`` and ``example`` (or ``examples``).

    fields:
        the :class:`Example` fields it fills, as heads and metrics name them in ``needs``; None if only the data
        tell. A task whose options decide makes it a property.
    own_data:
        whether :meth:`source` supplies the rows: a recipe then has no ``data.path``.
    blank_prompts:
        whether an example may have an empty prompt: one passage without any text.
    metric_defaults:
        options of metrics, by the metric's name, whose defaults differ for this task because its field has a convention
        of its own: ``{"exact_match": {"normalisation": "squad"}}``. A recipe's own options come first.
    sample_rows:
        a few rows of data with different right answers, on which the conformance kit (``pytest --gpttasks``) checks it.
    """

    kind = "task"
    own_data: ClassVar[bool] = False
    blank_prompts: ClassVar[bool] = False
    metric_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    sample_rows: ClassVar[Sequence[Mapping[str, Any]]] = ()

    declarations: ClassVar = {
        "fields": or_none(FIELDS),
        "columns": COLUMNS,
        "answer_columns": COLUMNS,
        "input_columns": or_none(COLUMNS),
        "own_data": BOOLEAN,
        "blank_prompts": BOOLEAN,
        "blank_rows": BOOLEAN,
        "metric_defaults": MAPPING,
        "sample_rows": all_of("a list of rows, each a mapping from columns to values", Mapping),
    }
    required_methods: ClassVar = (("example", "examples"),)

    extensions: Extensions
    """The template filters, file readers and media types that were in use when the task was created."""

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        task = super().__new__(cls)
        task.extensions = current_extensions()
        return task

    @property
    def fields(self) -> frozenset[str] | None:
        """See the class; a plain class attribute in a subclass, or a property where its options decide."""
        return None

    @property
    def blank_rows(self) -> bool:
        """Whether a row without any content is valid (as a blank line within a text is)."""
        return False

    @property
    def columns(self) -> frozenset[str]:
        """The columns that must hold a value in every row; empty if the task does not know."""
        return frozenset()

    @property
    def answer_columns(self) -> frozenset[str]:
        """The columns that hold the right answer: rows for prediction lack them."""
        return frozenset()

    @property
    def input_columns(self) -> frozenset[str] | None:
        """The columns that prompt and choices are made of; None if the task does not know.

        A task without any asks the same of every row: two of its examples are the same input only if their rows are
        equal, else if prompt and choices are.
        """
        return None

    def source(self) -> Source:
        """Where its rows come from, for a task with ``own_data``. Raises DataError for what cannot be read."""
        raise NotImplementedError(f"{type(self).__name__} has own_data, but no source()")

    def example(self, row: Row) -> Example:
        """The example of one row.

        A row for prediction has no right answer: read it with ``row.get("label")`` and leave the field None. Raise
        :class:`UnusableRow` with ``row.problem(...)`` for a row that cannot be used: such rows are counted, and
        skipped if the recipe says so. Raise :class:`DataError` for a problem of all rows; a missing column raises it
        without your help. It may be called more than once for a row, and not at all for rows that a limit leaves out.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither example() nor examples()")

    def examples(self, rows: Iterable[Row]) -> Iterator[Example | UnusableRow]:
        """One example per row, or the error that says why the row cannot be used.

        Override it to join or split rows.
        """
        for row in rows:
            try:
                example = self.example(row)
            except UnusableRow as error:
                yield error
                continue
            if not isinstance(example, Example):
                raise TypeError(f"example() returned {type(example).__name__}, expected an Example")
            yield example.marked(
                id=example.id or row.id or "",
                group=row.group if example.group is None else example.group,
                input_digest=example.input_digest or row.digest,
            )


def placed_examples(task: Task, rows: Iterable[Row]) -> Iterator[tuple[Row, Example | UnusableRow]]:
    """The task's examples, or the errors of its unusable rows, each with the last row that was read for it.

    Raises PluginError, with the task, the row and the cause, if the task's code fails. A DataError that the task raises
    is not changed.
    """
    last = Row({}, place="before the first row")

    def rows_in_order() -> Iterator[Row]:
        nonlocal last
        for row in rows:
            last = row
            yield row

    try:
        for example in task.extensions.iterate(lambda: task.examples(rows_in_order())):
            if not isinstance(example, UnusableRow) and not (
                isinstance(example, Example) and isinstance(example.id, str)
            ):
                raise TypeError(f"examples() yielded {example!r}, expected an Example whose id is a string")
            yield last, example
    except GpttasksError:
        raise
    except Exception as error:
        owner = f"the task {task.name!r} ({type(task).__module__})"
        raise PluginError(last.problem(f"{owner} failed: {type(error).__name__}: {error}")) from error
