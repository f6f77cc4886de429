"""``gpttasks predict``: answers to new input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, Problem, UserError
from .arguments import AcceptChanged, AsJson, PluginFiles, RunName, TrustCode
from .output import aligned, counted, json_line, on_one_line, say
from .prediction_files import check_columns, check_output, output_rows, write_rows

if TYPE_CHECKING:
    from ..data.readers import FileReader
    from ..data.rows import Row
    from ..pipeline.predict import Prediction, Predictor

PREDICTIONS_SCHEMA = "gpttasks.predictions/1"
STANDARD_INPUT = Path("-")
_SHOWN_WIDTH = 60


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
    table and a pipe gets JSON Lines.

    Example: gpttasks predict runs/imdb-lora-0a1b2c3d4e5f "A film to remember."
    """
    _check_input(texts, source)
    check_output(output, source, force=force)
    accepted = (accept_changed or "").split(",")
    predictions, changes = _predictions(run, texts or [], source, plugin or [], accepted, trust_code)
    answered = output_rows(predictions)
    if output is not None:
        write_rows(answered, output)
        say(f"{counted(len(answered), 'row')} written to {output}")
    elif not as_json:
        _print(predictions, answered)
    return {
        "schema": PREDICTIONS_SCHEMA,
        "run": str(run),
        "n": len(answered),
        "output": None if output is None else str(output),
        "accepted_changes": changes,
        "predictions": answered if output is None else None,
    }


def _check_input(texts: list[str] | None, source: Path | None) -> None:
    """Raises UserError for both or neither of texts and a file."""
    if bool(texts) == (source is not None):
        got = "both texts and --input" if texts else "no input"
        raise UserError(Problem(f"got {got}, expected texts or --input FILE", file="command line"))


def _predictions(
    run: Path,
    texts: list[str],
    source: Path | None,
    plugins: list[Path],
    accept_changed: list[str],
    trust_code: bool,
) -> tuple[list[Prediction], list[str]]:
    """The answers to the texts, or to the rows of the file, and what has changed since the run was made.

    Raises DataError if there are no rows.
    """
    from ..pipeline.predict import Predictor
    from ..plugins import load_plugins
    from ..records.dependencies import check_accepted

    loaded = load_plugins(plugins)
    predictor = Predictor(run, loaded, accepted=check_accepted(accept_changed), trust_code=trust_code)
    rows = list(predictor.text_rows(texts) if source is None else _read(predictor, source, loaded.extensions.readers))
    check_columns(rows)
    predictions = list(predictor.predict(rows))
    if not predictions:
        raise DataError(f"there are no rows in {source}", hint="give a file with rows")
    _mention_cuts_and_blanks(predictions)
    changes = [change.since(f"the run {run} was made") for change in predictor.changes]
    for text in (*changes, *(f"not compared: {text}" for text in predictor.unknown)):
        say(f"warning: {text}")
    return predictions, changes


def _read(predictor: Predictor, source: Path, readers: Mapping[str, FileReader]) -> Iterable[Row]:
    from ..data.readers import read_file, read_stream, with_quoting

    if source == STANDARD_INPUT:
        return read_stream(sys.stdin.buffer, "standard input")
    readers = with_quoting(readers, predictor.quoting)
    suffix = source.suffix.lower()
    if suffix not in readers:
        hint = f"files that can be read: {' '.join(readers)}"
        problem = Problem(f"no reader for {suffix or 'this kind of'} files", file=str(source), hint=hint)
        raise DataError(predictor.plugins_named(problem, suffix))
    if suffix == ".txt":
        return predictor.text_rows(row["text"] for row in read_file(source))
    return read_file(source, readers)


def _mention_cuts_and_blanks(predictions: list[Prediction]) -> None:
    cut = sum(prediction.cut_tokens > 0 for prediction in predictions)
    if cut:
        say(f"warning: {cut:,} of {len(predictions):,} inputs exceed the context, and their passages were cut")
    empty = sum(prediction.empty for prediction in predictions)
    if empty:
        say(f"warning: {empty:,} of {len(predictions):,} answers {'is' if empty == 1 else 'are'} empty")


def _print(predictions: list[Prediction], answered: list[dict[str, Any]]) -> None:
    if not sys.stdout.isatty():
        for row in answered:
            print(json_line(row))
        return
    rows = [("prediction", "probability", "input")]
    for prediction in predictions:
        probability = f"{max(prediction.scores.values()):.3f}" if prediction.scores else "-"
        values = " | ".join(str(value) for value in prediction.row.values())
        rows.append((on_one_line(prediction.text, _SHOWN_WIDTH), probability, on_one_line(values, _SHOWN_WIDTH)))
    print(aligned(rows))
