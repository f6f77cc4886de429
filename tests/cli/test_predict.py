"""``gpttasks predict``: input and output, with a predictor that needs no model."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.cli import main
from gpttasks.cli.csv_cells import Cells
from gpttasks.cli.output import on_one_line
from gpttasks.cli.prediction_files import output_row, written_rows
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.pipeline.predict import Prediction


class FakePredictor:
    """Answers with the upper-case text."""

    cut_tokens = 0
    quoting = None
    changes = ()
    unknown = ()

    def __init__(self, folder, plugins, accepted=(), trust_code=False):
        assert accepted == ()

    def text_rows(self, texts):
        return [Row({"text": text}) for text in texts]

    def plugins_named(self, problem, name):
        return problem

    def predict(self, rows, ready, watch):
        for row in rows:
            text = row["text"].upper()
            watch(1, 0)
            yield Prediction(row, text, {"good": 0.75, "bad": 0.25}, self.cut_tokens, empty=not text.strip())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gpttasks.pipeline.predict.Predictor", FakePredictor)
    return tmp_path


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_texts_on_a_pipe_give_json_lines(folder, capsys):
    assert main(["predict", "runs/x", "a film", "ein Film\nmit Ü"]) == 0
    out, err = capsys.readouterr()
    assert lines_of(out) == [
        {"text": "a film", "prediction": "A FILM", "probability_good": 0.75, "probability_bad": 0.25},
        {"text": "ein Film\nmit Ü", "prediction": "EIN FILM\nMIT Ü", "probability_good": 0.75, "probability_bad": 0.25},
    ]
    assert err == ""


def test_a_terminal_gets_a_table_without_control_characters(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["predict", "runs/x", "a\n\x1b[2Jfilm", "x" * 200]) == 0
    out, _ = capsys.readouterr()
    header, first, second = out.splitlines()
    assert header.split() == ["prediction", "probability", "input"]
    assert first.split() == ["A", "�[2JFILM", "0.750", "a", "�[2Jfilm"]
    assert second.endswith("…")
    assert "\x1b" not in out


def test_a_column_that_would_be_written_over_is_told_before_the_work(folder, capsys, monkeypatch):
    monkeypatch.setattr(FakePredictor, "predict", lambda self, rows, ready, watch: pytest.fail(str(next(rows))))
    (folder / "in.csv").write_text("text,prediction\na film,good\n")
    assert main(["predict", "runs/x", "--input", "in.csv"]) == 2
    assert "the input has a column 'prediction', which" in capsys.readouterr().err


def test_json_is_one_document(folder, capsys):
    assert main(["predict", "runs/x", "a film", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "gpttasks.predictions/1"
    assert document["n"] == 1
    assert document["output"] is None
    assert document["predictions"][0]["prediction"] == "A FILM"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "id,text\n7,a film\n8,ein Film\n"),
        ("in.tsv", "id\ttext\n7\ta film\n8\tein Film\n"),
        ("in.jsonl", '{"id": "7", "text": "a film"}\n{"id": "8", "text": "ein Film"}\n'),
        ("in.json", '{"id": "7", "text": "a film"}\n{"id": "8", "text": "ein Film"}\n'),
        ("in.parquet", {"id": ["7", "8"], "text": ["a film", "ein Film"]}),
        ("IN.PARQUET", {"id": [7, 8], "text": ["a film", "ein Film"]}),
    ],
)
@pytest.mark.parametrize("output", ["out.csv", "out.jsonl"])
def test_rows_of_a_file_keep_their_columns(name, content, output, folder, capsys):
    if isinstance(content, str):
        (folder / name).write_text(content)
    else:
        pq.write_table(pa.table(content), folder / name)
    assert main(["predict", "runs/x", "--input", name, "--output", output]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    progress, written = err.splitlines()
    assert progress.startswith("predicting: 2 rows, ")
    assert written == f"2 rows written to {output}"
    text = (folder / output).read_text()
    rows = list(csv.DictReader(io.StringIO(text))) if output.endswith(".csv") else lines_of(text)
    assert [{key: str(value) for key, value in row.items()} for row in rows] == [
        {"id": "7", "text": "a film", "prediction": "A FILM", "probability_good": "0.75", "probability_bad": "0.25"},
        {
            "id": "8",
            "text": "ein Film",
            "prediction": "EIN FILM",
            "probability_good": "0.75",
            "probability_bad": "0.25",
        },
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, output])


def test_values_of_parquet_that_json_does_not_have_are_written_as_text(folder, capsys):
    columns = {
        "text": ["a film"],
        "n": [3],
        "day": [date(2024, 2, 29)],
        "at": [datetime(2024, 2, 29, 12, 30)],
        "share": [float("nan")],
        "audio": [{"path": "a.wav", "bytes": b"RIFF"}],
        "price": [Decimal("1.50")],
        "tags": [["x", None]],
    }
    pq.write_table(pa.table(columns), folder / "in.parquet")
    assert main(["predict", "runs/x", "--input", "in.parquet", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert {name: row[name] for name in columns} == {
        "text": "a film",
        "n": 3,
        "day": "2024-02-29",
        "at": "2024-02-29T12:30:00",
        "share": None,
        "audio": {"path": "a.wav", "bytes": "<4 bytes>"},
        "price": "1.50",
        "tags": ["x", None],
    }
    assert main(["predict", "runs/x", "--input", "in.parquet", "--output", "out.csv"]) == 0


@pytest.mark.parametrize(("quoting", "text"), [(None, '"A FILM"'), ("csv", "A FILM")])
def test_quotes_are_read_as_in_the_run(quoting, text, folder, capsys, monkeypatch):
    monkeypatch.setattr(FakePredictor, "quoting", quoting)
    (folder / "in.tsv").write_text('text\n"a film"\n')
    assert main(["predict", "runs/x", "--input", "in.tsv"]) == 0
    assert [row["prediction"] for row in lines_of(capsys.readouterr().out)] == [text]


def test_each_line_of_a_text_file_is_a_text(folder, capsys):
    (folder / "in.txt").write_text("a film\nein Film\n")
    assert main(["predict", "runs/x", "--input", "in.txt"]) == 0
    assert [row["prediction"] for row in lines_of(capsys.readouterr().out)] == ["A FILM", "EIN FILM"]


def test_standard_input_is_json_lines(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a film", "n": 3}\n')))
    assert main(["predict", "runs/x", "--input", "-"]) == 0
    (row,) = lines_of(capsys.readouterr().out)
    assert (row["n"], row["prediction"]) == (3, "A FILM")


def test_output_with_json_tells_where_the_rows_are(folder, capsys):
    assert main(["predict", "runs/x", "a film", "--output", "out.jsonl", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["n"], document["output"], document["predictions"]) == (1, "out.jsonl", None)


def test_empty_answers_are_counted(folder, capsys):
    assert main(["predict", "runs/x", "a film", " "]) == 0
    assert "warning: 1 of 2 answers is empty" in capsys.readouterr().err


def test_cuts_are_counted(folder, capsys, monkeypatch):
    monkeypatch.setattr(FakePredictor, "cut_tokens", 5)
    assert main(["predict", "runs/x", "a film"]) == 0
    assert "1 of 1 inputs exceed the context, and their passages were cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "command line: got no input, expected texts or --input FILE"),
        (["a", "--input", "in.csv"], "command line: got both texts and --input, expected texts or --input FILE"),
        (["--input", "in.xlsx"], "in.xlsx: no reader for .xlsx files; files that can be read: .csv .tsv .jsonl .json"),
        (["--input", "bad.parquet"], "bad.parquet: not a readable Parquet file"),
        (["--input", "bad.json"], "bad.json:1:1: not valid JSON"),
        (["--input", "nowhere.csv"], "nowhere.csv: the file cannot be read"),
        (["--input", "header.csv"], "there are no rows in header.csv"),
        (["--input", "in.csv", "--output", "in.csv"], "--output: in.csv is also the input"),
        (["--input", "in.csv", "--output", "out.xls"], "--output: got out.xls, expected a name that ends in"),
        (["--input", "in.csv", "--output", "no/out.csv"], "--output: the folder no does not exist"),
        (["--input", "taken.csv"], "taken.csv:2: the input has a column 'prediction', which"),
        (
            ["--input", "uneven.jsonl", "--output", "out.csv"],
            "--output: row 2 and the first row have different columns (a, b)",
        ),
    ],
)
def test_wrong_input_and_output(arguments, message, folder, capsys):
    (folder / "in.csv").write_text("text\nfilm\n")
    (folder / "header.csv").write_text("text\n")
    (folder / "taken.csv").write_text("text,prediction\nfilm,good\n")
    (folder / "uneven.jsonl").write_text('{"text": "x", "a": 1}\n{"text": "x", "b": 1}\n')
    (folder / "bad.parquet").write_text("no")
    (folder / "bad.json").write_text("[\n")
    before = sorted(folder.iterdir())
    assert main(["predict", "runs/x", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert sorted(folder.iterdir()) == before


def test_a_bad_line_after_good_ones_keeps_their_answers_on_a_pipe(folder, capsys):
    (folder / "ragged.csv").write_text("text,id\nfilm,1\nplay,2\nfilm\n")
    assert main(["predict", "runs/x", "--input", "ragged.csv"]) == 2
    out, err = capsys.readouterr()
    assert [row["prediction"] for row in lines_of(out)] == ["FILM", "PLAY"]
    assert err.startswith("ragged.csv:4: got 1 field, expected 2 (text, id); 2 rows were answered before")


def test_a_bad_line_after_good_ones_leaves_the_output_as_it_was(folder, capsys):
    (folder / "ragged.csv").write_text("text,id\nfilm,1\nfilm\n")
    (folder / "out.csv").write_text("before")
    assert main(["predict", "runs/x", "--input", "ragged.csv", "--output", "out.csv", "--force", "--json"]) == 2
    out, _ = capsys.readouterr()
    (problem,) = json.loads(out)["errors"]
    assert "1 row was answered before, but nothing is written to out.csv" in problem["message"]
    assert (folder / "out.csv").read_text() == "before"
    assert sorted(path.name for path in folder.iterdir()) == ["out.csv", "ragged.csv"]


def test_an_interruption_says_how_many_rows_were_answered(folder, capsys, monkeypatch):
    def interrupted(self, rows, ready, watch):
        yield Prediction(next(rows), "A FILM")
        raise KeyboardInterrupt

    monkeypatch.setattr(FakePredictor, "predict", interrupted)
    (folder / "in.txt").write_text("a film\nein Film\n")
    assert main(["predict", "runs/x", "--input", "in.txt", "--output", "out.csv"]) == 130
    assert "stopped; 1 row was answered before, but nothing is written to out.csv" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["in.txt"]


def test_an_output_that_cannot_be_written_is_status_1(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    assert main(["predict", "runs/x", "a film", "--output", "out.csv"]) == 1
    assert capsys.readouterr().err.startswith("out.csv cannot be written: ")
    assert list(folder.iterdir()) == []


def test_an_output_that_exists_is_replaced_only_with_force(folder, capsys):
    (folder / "out.csv").write_text("precious")
    assert main(["predict", "runs/x", "a film", "--output", "out.csv"]) == 2
    message = (
        "--output: out.csv exists, and would be overwritten; choose another name, or replace the file with --force"
    )
    assert capsys.readouterr().err == f"{message}\n"
    assert (folder / "out.csv").read_text() == "precious"
    assert main(["predict", "runs/x", "a film", "--output", "out.csv", "--force"]) == 0
    assert "A FILM" in (folder / "out.csv").read_text()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_that_is_no_file_is_never_replaced(force, folder, capsys):
    (folder / "folder.csv").mkdir()
    (folder / "link.csv").symlink_to("nowhere.csv")
    for name, kind in (("folder.csv", "not a file"), ("link.csv", "a symbolic link")):
        assert main(["predict", "runs/x", "a film", "--output", name, *force]) == 2
        assert capsys.readouterr().err == f"--output: {name} exists and is {kind}; choose another name\n"
    assert (folder / "link.csv").is_symlink()
    assert not (folder / "nowhere.csv").exists()


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["predict", str(tmp_path), "a film", "--json"]) == 2
    assert "is not a run folder" in json.loads(capsys.readouterr().out)["errors"][0]["message"]


def test_a_column_that_would_be_written_over_is_an_error():
    with pytest.raises(DataError, match="'probability_good'"):
        output_row(Prediction({"probability_good": 1}, "good", {"good": 1.0}))


def write_rows(rows, path):
    with written_rows(path) as write:
        for row in rows:
            write(row)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(
    st.lists(st.fixed_dictionaries({"text": texts, "more": texts | st.none() | st.lists(st.integers())}), min_size=1)
)
def test_files_hold_what_was_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    write_rows(rows, folder / "out.jsonl")
    assert [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()] == rows
    write_rows(rows, folder / "out.csv")
    with open(folder / "out.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    wanted = [
        value if isinstance(value := row["more"], str) else "" if value is None else json.dumps(value) for row in rows
    ]
    assert [row["more"] for row in read] == [Cells().cell(value) for value in wanted]
    assert [row["text"] for row in read] == [Cells().cell(row["text"]) for row in rows]


@given(st.text(), st.integers(2, 50))
def test_on_one_line_is_printable_and_short(text, width):
    line = on_one_line(text, width)
    assert len(line) <= width
    assert line.isprintable()
