"""Predictions as rows and files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

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


def check_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises DataError for a row that has the column ``prediction`` already, before anything is loaded."""
    if any(PREDICTION in row for row in rows):
        raise _taken(PREDICTION)


def _taken(column: str) -> DataError:
    message = f"the input has a column {column!r}, which would be overwritten"
    return DataError(Problem(message, hint="rename it in the input"))


def output_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The columns of each row, then ``prediction``, ``prediction_<column>`` and ``probability_<choice>``.

    Raises DataError for a row that has one of these columns already.
    """
    return [_output_row(prediction) for prediction in predictions]


def _output_row(prediction: Prediction) -> dict[str, Any]:
    added: dict[str, Any] = {PREDICTION: prediction.text}
    added |= {f"{PREDICTION}_{name}": value for name, value in prediction.columns.items()}
    added |= {f"probability_{choice}": probability for choice, probability in prediction.scores.items()}
    taken = sorted(added.keys() & prediction.row.keys())
    if taken:
        raise _taken(taken[0])
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


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV or JSON Lines, by the suffix of the name, atomically; say which cells of CSV were changed.

    Raises DataError for rows with different columns, which CSV cannot hold, and RunFailed if writing fails.
    """
    cells = Cells()
    try:
        with atomic_file(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                _write_csv(rows, file, cells)
            else:
                file.writelines(f"{json_line(row)}\n" for row in rows)
    except OSError as error:
        raise RunFailed(f"{path} cannot be written: {error.strerror or error}") from error
    if note := cells.note():
        say(note)


def _write_csv(rows: Sequence[Mapping[str, Any]], file: TextIO, cells: Cells) -> None:
    columns = list(rows[0])
    # Quote all text: the csv module does not quote a lone carriage return, at which readers would end the row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([cells.cell(column) for column in columns])
    for number, row in enumerate(rows, 1):
        if row.keys() != set(columns):
            different = ", ".join(sorted(row.keys() ^ set(columns)))
            message = f"row {number} and the first row have different columns ({different}), which CSV cannot hold"
            raise DataError(Problem(message, key="--output", hint="choose a name that ends in .jsonl"))
        writer.writerow([cells.cell(row[column]) for column in columns])
