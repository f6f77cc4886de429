"""Data files: values are read unchanged, and every fault is reported with its place."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.data.readers import READERS, FileReader, read_file, read_stream, with_quoting
from gpttasks.errors import DataError

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\x00"), max_size=20)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def problem(path):
    with pytest.raises(DataError) as caught:
        list(read_file(path))
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), st.sampled_from([(".csv", ","), (".tsv", "\t")]))
def test_csv_reads_back_what_was_written(tmp_path_factory, values, kind):
    suffix, delimiter = kind
    path = tmp_path_factory.mktemp("csv") / f"data{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "label"])
        writer.writerows(values)
    readers = with_quoting(READERS, "csv")
    assert [(row["text"], row["label"]) for row in read_file(path, readers)] == values


FIELD = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), st.sampled_from([(".csv", ","), (".tsv", "\t")]))
def test_without_quoting_a_field_is_what_is_between_separators(tmp_path_factory, values, kind):
    suffix, delimiter = kind
    values = [tuple(field.replace(delimiter, '"') for field in pair) for pair in values]
    path = tmp_path_factory.mktemp("plain") / f"data{suffix}"
    lines = "".join(f"{first}{delimiter}{second}\n" for first, second in [("text", "label"), *values])
    path.write_text(lines, encoding="utf-8", newline="")
    rows = read_file(path, with_quoting(READERS, "none"))
    assert [(row["text"], row["label"]) for row in rows] == values


def test_quotes_in_a_tsv_file_are_text(write):
    path = write("a.tsv", 'text\tlabel\n"I loved it\t1\nboring\t0\nsays the critic"\t0\n"Superb"\t1\nthe ""end""\t0\n')
    texts = ['"I loved it', "boring", 'says the critic"', '"Superb"', 'the ""end""']
    assert [row["text"] for row in read_file(path)] == texts


@pytest.mark.parametrize(
    ("content", "line"), [('text\tlabel\nfine\t1\n"a ""b"""\t0\n', 3), ('"text"\t"label"\n"fine"\t"1"\n', 1)]
)
def test_a_tsv_file_that_looks_quoted_is_refused_until_the_recipe_decides(write, content, line):
    path = write("a.tsv", content)
    found = problem(path)
    assert (found.file, found.line) == (str(path), line)
    assert "task.data.quoting=csv" in found.hint
    assert "task.data.quoting=none" in found.hint
    quoted = [list(row.values()) for row in read_file(path, with_quoting(READERS, "csv"))]
    plain = [list(row.values()) for row in read_file(path, with_quoting(READERS, "none"))]
    assert quoted[-1] == (["fine", "1"] if line == 1 else ['a "b"', "0"])
    assert plain[-1] == content.splitlines()[-1].split("\t")


def test_a_field_with_a_line_break_in_a_tsv_file_names_the_option(write):
    found = problem(write("a.tsv", 'text\tlabel\n"two\nlines"\t1\n'))
    assert (found.line, found.message) == (2, "got 1 field, expected 2 (text, label)")
    assert "as task.data.quoting=csv says" in found.hint


def test_the_reader_of_a_plugin_keeps_its_quoting():
    own = FileReader(".tsv", lambda path: iter(()), owner="plugin mine")
    readers = with_quoting({**READERS, ".tsv": own}, "csv")
    assert readers[".tsv"] is own


@given(st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.booleans() | st.lists(TEXT)), max_size=8))
def test_json_lines_read_back(values):
    text = "\n".join(json.dumps(value, ensure_ascii=False) for value in values)
    assert list(read_stream(io.BytesIO(text.encode()), "standard input")) == values


def test_csv_lines_count_where_a_record_begins(write):
    path = write("train.csv", 'text,label\n"two\nlines",1\r\nplain,0\n\n"a, ""b""",1\n\n\n')
    found = list(read_file(path))
    assert [(row.line, row["text"]) for row in found] == [(2, "two\nlines"), (4, "plain"), (5, ""), (6, 'a, "b"')]
    assert found[0].place == "train.csv:2"
    assert found[0].file == str(path)


def test_no_value_is_converted(write):
    (row,) = read_file(write("a.csv", "a,b,c,d\n007,1e5,NA,true\n"))
    assert dict(row) == {"a": "007", "b": "1e5", "c": "NA", "d": "true"}


def test_a_byte_order_mark_is_not_part_of_the_header(write):
    (row,) = read_file(write("a.csv", "\ufefftext\nx\n"))
    assert dict(row) == {"text": "x"}


def test_a_field_may_hold_a_book(write):
    book = "word " * 100_000
    (row,) = read_file(write("a.csv", f"text\n{book}\n"))
    assert row["text"] == book


def test_text_has_one_row_per_line(write):
    found = list(read_file(write("a.txt", "one \n\ntwo\n\n")))
    assert [(row.line, row["text"]) for row in found] == [(1, "one "), (2, ""), (3, "two")]


def test_an_empty_line_of_json_is_a_row_without_values(write):
    assert list(read_file(write("a.jsonl", '{"a": 1}\n\n{"a": 2}\n'))) == [{"a": 1}, {}, {"a": 2}]


@pytest.mark.parametrize(
    ("name", "content", "line", "column", "message"),
    [
        ("a.csv", b"text\nfine\ncaf\xe9\n", 3, 4, "not UTF-8: the byte 0xe9"),
        ("a.jsonl", "{}\n".encode("utf-16"), 1, 1, "not UTF-8: the byte 0xff"),
        ("a.csv", "text,label\na,1\nb\n", 3, None, "got 1 field, expected 2 (text, label)"),
        ("a.csv", 'text,label\n"a\nb",1\nc,1,2\n', 4, None, "got 3 fields, expected 2 (text, label)"),
        ("a.tsv", "text\tlabel\na,1\n", 2, None, "got 1 field, expected 2 (text, label)"),
        (
            "a.csv",
            'text,label\nx,1\n"never closed,1\nb,2\n',
            3,
            None,
            "the record that begins on this line cannot be read",
        ),
        ("a.csv", 'text,label\n"a"b,1\n', 2, None, "the record that begins on this line cannot be read"),
        ("a.csv", "text,label,text\na,b,c\n", 1, None, "2 columns have the name 'text'"),
        ("a.csv", ",text\n0,a\n", 1, None, "column 1 has no name"),
        ("a.csv", "\ntext\n", 1, None, "column 1 has no name"),
        ("a.jsonl", '{"a": 1}\n{"a": 2,}\n', 2, 9, "not valid JSON"),
        ("a.jsonl", '{"a": 1, "a": 2}\n', 1, None, "duplicate key 'a'"),
        ("a.jsonl", '{"a": NaN}\n', 1, None, "NaN is not a JSON number"),
        ("a.json", '[{"a": 1}]\n', 1, None, "got an array, expected an object"),
        ("a.jsonl", "{}\n3\n", 2, None, "got a number, expected an object"),
        ("a.jsonl", "null\n", 1, None, "got null, expected an object"),
        ("a.jsonl", "[" * 100_000 + "\n", 1, None, "not valid JSON"),
        ("a.csv", "", None, None, "the file is empty"),
        ("a.parquet", "no parquet at all", None, None, "not a readable Parquet file"),
    ],
)
def test_faults_are_named_with_their_place(write, name, content, line, column, message):
    path = write(name, content)
    found = problem(path)
    assert (found.file, found.line, found.column) == (str(path), line, column)
    assert message in found.message


def test_all_faults_of_a_header_at_once(write):
    with pytest.raises(DataError) as caught:
        list(read_file(write("a.csv", "a,,a\n1,2,3\n")))
    assert [entry.message for entry in caught.value.problems] == ["column 2 has no name", "2 columns have the name 'a'"]


def test_parquet_gives_nested_values_and_numbered_rows(tmp_path):
    values = [
        {"text": f"t{i}", "n": i, "list": ["a", str(i)], "media": {"bytes": b"x", "path": None}} for i in range(2500)
    ]
    values[7]["text"] = None
    path = tmp_path / "test.parquet"
    pq.write_table(pa.Table.from_pylist(values), path)
    found = list(read_file(path))
    assert found == values
    assert (found[16].place, found[16].line) == ("row 17 of test.parquet", None)


def test_parquet_with_a_column_twice(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    assert "several columns have the name 'a'" in problem(path).message


def test_a_file_that_cannot_be_opened(tmp_path):
    assert "cannot be read: No such file" in problem(tmp_path / "gone.csv").message
