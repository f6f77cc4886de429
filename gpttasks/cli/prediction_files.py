"""Predictions as rows, and files of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import DataError, Problem, RunFailed, UserError
from ..files import atomic_file
from .output import json_line

if TYPE_CHECKING:
    from ..pipeline.predict import Prediction

PREDICTION = "prediction"
SUFFIXES = (".csv", ".jsonl")


def check_output(output: Path | None, source: Path | None) -> None:
    """Raise UserError for an output file that cannot be written, before anything is loaded."""
    if output is None:
        return
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(Problem(f"got {output.name}, wanted a name that ends in .csv or .jsonl", key="--output"))
    if not output.parent.is_dir():
        raise UserError(Problem(f"the folder {output.parent} is not there", key="--output"))
    if source is not None and source.exists() and output.exists() and output.samefile(source):
        raise UserError(Problem(f"{output} is the input too", key="--output", hint="give another name"))


def check_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise DataError for a row that has the column that is added to all, before anything is loaded."""
    if any(PREDICTION in row for row in rows):
        raise _taken(PREDICTION)


def _taken(column: str) -> DataError:
    message = f"the input has a column {column!r} already, which would be written over"
    return DataError(Problem(message, hint="give it another name in the input"))


def output_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Each row's own columns, then ``prediction`` and ``probability_<choice>``.

    Raises DataError for a row that has one of these columns already.
    """
    return [_output_row(prediction) for prediction in predictions]


def _output_row(prediction: Prediction) -> dict[str, Any]:
    added: dict[str, Any] = {PREDICTION: prediction.text}
    added |= {f"probability_{choice}": probability for choice, probability in prediction.scores.items()}
    taken = sorted(added.keys() & prediction.row.keys())
    if taken:
        raise _taken(taken[0])
    return {**prediction.row, **added}


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV or JSON Lines, by the name's end, whole or not at all.

    Raises DataError for rows with different columns, which CSV cannot hold, and RunFailed if it cannot be written.
    """
    try:
        with atomic_file(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                _write_csv(rows, file)
            else:
                file.writelines(f"{json_line(row)}\n" for row in rows)
    except OSError as error:
        raise RunFailed(f"{path} cannot be written: {error.strerror or error}") from error


def _write_csv(rows: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    columns = list(rows[0])
    # All text in quotes: the csv module would leave a lone carriage return bare, and readers end the row there.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    for number, row in enumerate(rows, 1):
        if row.keys() != set(columns):
            different = ", ".join(sorted(row.keys() ^ set(columns)))
            message = f"row {number} has other columns than the first row ({different}), which CSV cannot hold"
            raise DataError(Problem(message, key="--output", hint="give a name that ends in .jsonl"))
        writer.writerow([_cell(row[column]) for column in columns])


def _cell(value: Any) -> str | int | float:
    """Text and numbers as they are, null as nothing, and whatever else as JSON."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return "" if value is None else json_line(value)
