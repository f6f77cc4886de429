"""``gpttasks predict``: answers to new input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, GpttasksError, Interrupted, Problem, UserError
from ..progress import Progress
from .arguments import AcceptChanged, AsJson, PluginFiles, RunName, TrustCode
from .output import aligned, counted, json_line, on_one_line, say
from .prediction_files import check_columns, check_output, output_row, written_rows

if TYPE_CHECKING:
    from ..data.arriving import ArrivingRows
    from ..data.readers import FileReader
    from ..data.rows import Row
    from ..pipeline.predict import Prediction, Predictor

PREDICTIONS_SCHEMA = "gpttasks.predictions/1"
STANDARD_INPUT = Path("-")
_SHOWN_WIDTH = 60
_TABLE_ROWS = 32


def predict(
    run: RunName,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="Texts for the input column, if the task has only one.", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A .csv, .tsv, .jsonl, .json, .parquet or .txt file, or one that a plugin reads; - reads JSON Lines "
            "from stdin.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows and their answers to this .csv or .jsonl file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the --output file if it exists.")] = False,
    plugin: PluginFiles = None,
    accept_changed: AcceptChanged = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> Mapping[str, Any]:
    """Answer new input with the model of a finished run.

    Rows of a file keep their columns and get a column prediction and, if there are choices, a column
    probability_CHOICE for each; likelihoods get columns such as prediction_nats. Without --output, a terminal shows a
    table and a pipe gets JSON Lines, both as the answers come. The file of --output appears when all rows are
    answered; if one cannot be, nothing is written.

    Example: gpttasks predict runs/imdb-lora-0a1b2c3d4e5f "A film to remember."
    """
    _check_input(texts, source)
    check_output(output, source, force=force)
    accepted = (accept_changed or "").split(",")
    kept: list[dict[str, Any]] | None = [] if as_json and output is None else None
    counts, changes = _Counts(), list[str]()
    with _reported(counts, output), _sink(output, kept, at_once=source != STANDARD_INPUT) as write:
        changes = _answer(run, texts or [], source, plugin or [], accepted, trust_code, counts, write)
    counts.mention_cuts_and_blanks()
    if output is not None:
        say(f"{counted(counts.rows, 'row')} written to {output}")
    return {
        "schema": PREDICTIONS_SCHEMA,
        "run": str(run),
        "n": counts.rows,
        "output": None if output is None else str(output),
        "accepted_changes": changes,
        "predictions": kept,
    }


@dataclass
class _Counts:
    """How many rows are answered, and how many of them were cut or have an empty answer."""

    rows: int = 0
    cut: int = 0
    empty: int = 0

    def add(self, prediction: Prediction) -> None:
        self.rows += 1
        self.cut += prediction.cut_tokens > 0
        self.empty += prediction.empty

    def mention_cuts_and_blanks(self) -> None:
        if self.cut:
            say(f"warning: {self.cut:,} of {self.rows:,} inputs exceed the context, and their passages were cut")
        if self.empty:
            verb = "is" if self.empty == 1 else "are"
            say(f"warning: {self.empty:,} of {self.rows:,} answers {verb} empty")


@contextmanager
def _reported(counts: _Counts, output: Path | None) -> Iterator[None]:
    """Let errors and an interruption say how many rows were answered before, and what became of the answers."""
    try:
        yield
    except GpttasksError as error:
        if counts.rows:
            error.add(_so_far(counts, output))
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped; {_so_far(counts, output)}") from error


def _so_far(counts: _Counts, output: Path | None) -> str:
    answered = f"{counted(counts.rows, 'row')} {'was' if counts.rows == 1 else 'were'} answered before"
    return answered if output is None else f"{answered}, but nothing is written to {output}"


@contextmanager
def _sink(
    output: Path | None, kept: list[dict[str, Any]] | None, *, at_once: bool
) -> Iterator[Callable[[Prediction], None]]:
    """What takes each answer: the output file, the list of the JSON document, or stdout.

    ``at_once``: whether the rows come without a wait, so that several lines of a table can be aligned.
    """
    if output is not None:
        with written_rows(output) as write_row:
            yield lambda prediction: write_row(output_row(prediction))
    elif kept is not None:
        yield lambda prediction: kept.append(output_row(prediction))
    elif sys.stdout.isatty():
        table = _Table(_TABLE_ROWS if at_once else 1)
        try:
            yield table.add
        finally:
            table.flush()
    else:
        yield lambda prediction: print(json_line(output_row(prediction)), flush=True)


class _Table:
    """Prints answers as a table, some at a time, each time with columns at least as wide as before."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._rows = [("prediction", "probability", "input")]
        self._widths: list[int] = []

    def add(self, prediction: Prediction) -> None:
        output_row(prediction)  # refuses a column that has the name of an added one
        probability = f"{max(prediction.scores.values()):.3f}" if prediction.scores else "-"
        values = " | ".join(str(value) for value in prediction.row.values())
        self._rows.append((on_one_line(prediction.text, _SHOWN_WIDTH), probability, on_one_line(values, _SHOWN_WIDTH)))
        if len(self._rows) >= self._at_once:
            self.flush()

    def flush(self) -> None:
        """Print the rows that are not printed yet."""
        if self._rows:
            print(aligned(self._rows, widths=self._widths), flush=True)
            self._rows.clear()


def _check_input(texts: list[str] | None, source: Path | None) -> None:
    """Raises UserError for both or neither of texts and a file."""
    if bool(texts) == (source is not None):
        got = "both texts and --input" if texts else "no input"
        raise UserError(Problem(f"got {got}, expected texts or --input FILE", file="command line"))


def _answer(
    run: Path,
    texts: list[str],
    source: Path | None,
    plugins: list[Path],
    accept_changed: list[str],
    trust_code: bool,
    counts: _Counts,
    write: Callable[[Prediction], None],
) -> list[str]:
    """Write the answers to the texts, or to the rows of the file, as they come, and count them.

    Returns what has changed since the run was made. Raises DataError if there are no rows.
    """
    from ..pipeline.predict import Predictor
    from ..plugins import load_plugins
    from ..records.dependencies import check_accepted

    loaded = load_plugins(plugins)
    predictor = Predictor(run, loaded, accepted=check_accepted(accept_changed), trust_code=trust_code)
    ready: Callable[[], bool] = lambda: True  # noqa: E731
    if source is None:
        rows: Iterable[Row] = predictor.text_rows(texts)
    elif source == STANDARD_INPUT:
        rows = arriving = _arriving()
        ready = arriving.ready
    else:
        rows = _read(predictor, source, loaded.extensions.readers)
    changes: list[str] = []
    # A bar would be drawn over a table, and a pipe may wait for hours.
    shown = source not in (None, STANDARD_INPUT) and not sys.stdout.isatty()
    with Progress("predicting", None, "rows", shown=shown) as progress:
        for prediction in predictor.predict(check_columns(rows), ready, progress):
            if not counts.rows:
                changes = _mention_changes(predictor)
            write(prediction)
            counts.add(prediction)
        if not counts.rows:
            raise DataError(f"there are no rows in {source}", hint="give a file with rows")
    return changes


def _mention_changes(predictor: Predictor) -> list[str]:
    """Print what has changed since the run was made, and what could not be compared; returns the former."""
    for text in (*predictor.changes, *predictor.unknown):
        say(f"warning: {text}")
    return list(predictor.changes)


def _arriving() -> ArrivingRows:
    from ..data.arriving import arriving_rows

    return arriving_rows(sys.stdin.buffer, "standard input")


def _read(predictor: Predictor, source: Path, readers: Mapping[str, FileReader]) -> Iterable[Row]:
    from ..data.readers import read_file, with_quoting

    readers = with_quoting(readers, predictor.quoting)
    suffix = source.suffix.lower()
    if suffix not in readers:
        hint = f"files that can be read: {' '.join(readers)}"
        problem = Problem(f"no reader for {suffix or 'this kind of'} files", file=str(source), hint=hint)
        raise DataError(predictor.plugins_named(problem, suffix))
    if suffix == ".txt":
        return predictor.text_rows(row["text"] for row in read_file(source))
    return read_file(source, readers)
