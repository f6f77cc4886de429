"""Predictions as rows and files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..data.rows import Row
from ..errors import DataError, Problem, RunFailed, UserError
from ..files import atomic_file
from .csv_cells import Cells
from .output import json_line, say

if TYPE_CHECKING:
    from ..pipeline.predict import Prediction

PREDICTION = "prediction"
SUFFIXES = (".csv", ".jsonl")


def check_output(output: Path | None, source: Path | None, *, force: bool) -> None:
    """Raises UserError for an output file that cannot be written, before anything is loaded.

    A file that exists is replaced only with ``force``, and anything else of that name never.
    """
    if output is None:
        return
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(Problem(f"got {output.name}, expected a name that ends in .csv or .jsonl", key="--output"))
    if not output.parent.is_dir():
        raise UserError(Problem(f"the folder {output.parent} does not exist", key="--output"))
    if source is not None and source.exists() and output.exists() and output.samefile(source):
        raise UserError(Problem(f"{output} is also the input", key="--output", hint="choose another name"))
    if os.path.lexists(output) and (output.is_symlink() or not output.is_file()):
        kind = "a symbolic link" if output.is_symlink() else "not a file"
        raise UserError(Problem(f"{output} exists and is {kind}", key="--output", hint="choose another name"))
    if output.exists() and not force:
        hint = "choose another name, or replace the file with --force"
        raise UserError(Problem(f"{output} exists, and would be overwritten", key="--output", hint=hint))


def check_columns(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows. Raises DataError for one that has the column ``prediction`` already."""
    for row in rows:
        if PREDICTION in row:
            raise _taken(PREDICTION, row)
        yield row


def _taken(column: str, row: Mapping[str, Any]) -> DataError:
    message, hint = f"the input has a column {column!r}, which would be overwritten", "rename it in the input"
    return DataError(row.problem(message, hint) if isinstance(row, Row) else Problem(message, hint=hint))


def output_row(prediction: Prediction) -> dict[str, Any]:
    """The columns of the row, then ``prediction``, ``prediction_<column>`` and ``probability_<choice>``.

    Raises DataError for a row that has one of these columns already.
    """
    added: dict[str, Any] = {PREDICTION: prediction.text}
    added |= {f"{PREDICTION}_{name}": value for name, value in prediction.columns.items()}
    added |= {f"probability_{choice}": probability for choice, probability in prediction.scores.items()}
    taken = sorted(added.keys() & prediction.row.keys())
    if taken:
        raise _taken(taken[0], prediction.row)
    return {**{name: _written(value) for name, value in prediction.row.items()}, **added}


def _written(value: Any) -> Any:
    """A value of a row as JSON can hold it: times become ISO 8601, NaN becomes null, and bytes become their number."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _written(item) for key, item in value.items()}
    if isinstance(value, (date, time)):
        return value.isoformat()
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else str(value)


@contextmanager
def written_rows(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes a row as CSV or JSON Lines, by the suffix of the name; says which cells were changed.

    The rows go into a file beside ``path`` that replaces it at the end of the block; if the block raises, that file is
    removed. Raises DataError for rows with different columns, which CSV cannot hold, and RunFailed if writing fails.
    """
    of_the_block: list[BaseException] = []
    cells = Cells()
    try:
        with atomic_file(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            put = _CsvRows(file, cells) if path.suffix.lower() == ".csv" else partial(_put_json_line, file)
            try:
                yield partial(_put, put, path)
            except BaseException as error:
                of_the_block.append(error)
                raise
    except OSError as error:
        if error in of_the_block:
            raise
        raise _unwritten(path, error) from error
    if note := cells.note():
        say(note)


def _put(put: Callable[[Mapping[str, Any]], None], path: Path, row: Mapping[str, Any]) -> None:
    try:
        put(row)
    except OSError as error:
        raise _unwritten(path, error) from error


def _put_json_line(file: TextIO, row: Mapping[str, Any]) -> None:
    file.write(f"{json_line(row)}\n")


def _unwritten(path: Path, error: OSError) -> RunFailed:
    return RunFailed(f"{path} cannot be written: {error.strerror or error}")


class _CsvRows:
    """Writes rows as CSV; the first row has the columns of all."""

    def __init__(self, file: TextIO, cells: Cells) -> None:
        # Quote all text: the csv module does not quote a lone carriage return, at which readers would end the row.
        self._writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        self._cells = cells
        self._columns: list[str] = []
        self._number = 0

    def __call__(self, row: Mapping[str, Any]) -> None:
        self._number += 1
        if self._number == 1:
            self._columns = list(row)
            self._writer.writerow([self._cells.cell(column) for column in self._columns])
        if row.keys() != set(self._columns):
            different = ", ".join(sorted(row.keys() ^ set(self._columns)))
            message = f"row {self._number} and the first row have different columns ({different})"
            hint = "choose a name that ends in .jsonl"
            raise DataError(Problem(f"{message}, which CSV cannot hold", key="--output", hint=hint))
        self._writer.writerow([self._cells.cell(row[column]) for column in self._columns])
