"""The task ``lm-eval``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from pydantic import Field

from gpttasks import Example, GpttasksError, Options, RecipePath, Row, Source, Task, UnusableRow

from .harness import DocumentRow, Harness
from .loading import first_line, require_harness


class HarnessTaskOptions(Options):
    """The options of the task ``lm-eval``."""

    task: str = Field(description="the name of the task in the harness, such as hellaswag")
    include: RecipePath | list[RecipePath] | None = Field(
        None,
        description="one or more folders with YAML files of tasks; Python code that they name is listed, then run",
    )
    shots: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="number of solved documents before each prompt, drawn by the harness; null uses the number in "
        "the task",
    )
    seed: int = Field(1234, ge=0, lt=2**32, description="the seed of these draws; the default is that of the harness")


class HarnessTask(Task):
    """A task of lm-evaluation-harness, built in or from a folder of yours; it brings its own data.

    Its splits are called train, validation and test. Without a test split, the harness scores validation, and so
    does ``score.split: test`` here; a validation beside it is then held out of train. Head and metric ``lm-eval`` ask
    and score exactly as the harness does. The other fields are filled where a document has them: ``choices`` and
    ``label`` of a multiple choice with one context, ``target`` and ``references`` of a text to write or to predict,
    so that other heads can be trained on it. Their prompt is what the harness would show: shots that do not fit are
    dropped, then the document's own text is cut at its end; head ``lm-eval`` cuts at the beginning, as the harness.

    A folder named with ``include`` may hold Python code (``!function``, ``class``), which is listed on stderr and then
    run: it is your own. Code that came with a run folder is refused without ``--trust-code``. Templates are rendered
    in a sandbox. Data sets on the Hub are downloaded, as the task's description says; metrics that are code on the Hub
    are refused.
    """

    name = "lm-eval"
    Options = HarnessTaskOptions
    own_data = True
    blank_prompts = True

    options: HarnessTaskOptions

    def __init__(self, options: HarnessTaskOptions) -> None:
        require_harness()
        super().__init__(options)

    @cached_property
    def harness(self) -> Harness:
        """The harness's task, with its data. Raises DataError for one that cannot be used."""
        include = self.options.include or []
        folders = [Path(folder) for folder in ([include] if isinstance(include, str) else include)]
        return Harness(self.options.task, folders, self.announce_code, self.options.shots, self.options.seed)

    def source(self) -> Source:
        """The harness's documents."""
        return self.harness

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a document that the harness's task cannot read."""
        try:
            if isinstance(row, DocumentRow):
                return self.harness.example(row.doc, scored=row.scored)
            return self.harness.example(dict(row), scored=False, new=True)  # a row to be predicted
        except GpttasksError:
            raise
        except Exception as error:  # templates and functions of the task may raise anything
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UnusableRow(row.problem(f"the harness's task {self.options.task!r} fails: {reason}")) from error

    def examples(self, rows: Iterable[Row]) -> Iterator[Example | UnusableRow]:
        """One example a document. The draws of shots begin anew with each split."""
        self.harness.begin()
        yield from super().examples(rows)
