"""Reads data files row by row, strictly, so that whatever is wrong is named by file and line."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ..errors import DataError, Problem
from .rows import Row

Line: TypeAlias = tuple[int, str]
LineReader: TypeAlias = Callable[[Iterable[Line], str], Iterator[Row]]

# The csv module stops at 128 KiB a field, which a whole book exceeds; this is the most that all platforms take.
_LARGEST_FIELD = 2**31 - 1
_PARQUET_BATCH = 1000


def read_file(path: Path) -> Iterator[Row]:
    """The rows of one file, by its suffix: one of :data:`SUFFIXES`.

    CSV and TSV have a header, and quoted fields as spreadsheets write them; no value is converted. JSON Lines hold an
    object a line. A text file has one column, ``text``, and one row a line. An empty line within the file is a row
    without values; empty lines at its end are nothing.

    Raises DataError, with the line where there is one, for what cannot be read.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(Problem("the file is empty", file=str(path)))
        if path.suffix.lower() == ".parquet":
            yield from _read_parquet(path)
            return
        with path.open("rb") as stream:
            yield from _LINE_READERS[path.suffix.lower()](_lines(stream, str(path)), str(path))
    except OSError as error:
        raise DataError(Problem(f"the file cannot be read: {error.strerror or error}", file=str(path))) from error


def read_stream(stream: BinaryIO, name: str) -> Iterator[Row]:
    """The rows of JSON Lines that come as a stream; ``name`` stands for the file in messages."""
    return _read_json_lines(_lines(stream, name), name)


def _lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """Line numbers and lines with their ends; empty lines at the end of the file are left out."""
    empty: list[Line] = []
    for number, raw in enumerate(stream, 1):
        text = _decoded(raw, name, number)
        if not text.strip("\r\n"):
            empty.append((number, text))
            continue
        yield from empty
        empty.clear()
        yield number, text


def _decoded(raw: bytes, name: str, number: int) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode("utf-8")) + 1
        message = f"not UTF-8: the byte 0x{raw[error.start]:02x}"
        hint = "save the file as UTF-8, for example with: iconv -f LATIN1 -t UTF-8"
        raise DataError(Problem(message, file=name, line=number, column=column, hint=hint)) from error
    return text.removeprefix("\ufeff") if number == 1 else text


def _read_csv(lines: Iterable[Line], name: str) -> Iterator[Row]:
    yield from _read_delimited(lines, name, ",")


def _read_tsv(lines: Iterable[Line], name: str) -> Iterator[Row]:
    yield from _read_delimited(lines, name, "\t")


def _read_delimited(lines: Iterable[Line], name: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1  # a record may go over several lines: it stands where it begins
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = 'a field with a quote in it is written in quotes, and the quote is doubled: "so ""called"" news"'
            message = f"a record that begins here cannot be read: {error}"
            raise DataError(Problem(message, file=name, line=line, hint=hint)) from error
        if header is None:
            header = _checked_header(values, name, line)
            continue
        values = values or [""] * len(header)
        if len(values) != len(header):
            message = f"got {_count(len(values), 'field')}, wanted {len(header)} ({', '.join(header)})"
            hint = "a field that contains the separator is written in quotes"
            raise DataError(Problem(message, file=name, line=line, hint=hint))
        yield Row(dict(zip(header, values, strict=True)), file=name, line=line)


def _checked_header(header: list[str], name: str, line: int) -> list[str]:
    problems = [
        Problem(f"column {number} has no name", file=name, line=line, hint="name it in the header, or remove it")
        for number, column in enumerate(header or [""], 1)
        if not column.strip()
    ]
    problems += [
        Problem(f"{count} columns are called {column!r}", file=name, line=line, hint="give each its own name")
        for column, count in Counter(header).items()
        if count > 1 and column.strip()
    ]
    if problems:
        raise DataError(problems)
    return header


def _read_json_lines(lines: Iterable[Line], name: str) -> Iterator[Row]:
    for number, text in lines:
        line = text.strip("\r\n")
        yield Row(_json_object(text, name, number) if line else {}, file=name, line=number)


def _json_object(text: str, name: str, number: int) -> dict[str, Any]:
    hint = "one JSON object a line, nothing around them"
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}"
        raise DataError(Problem(message, file=name, line=number, column=error.colno, hint=hint)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(f"not valid JSON: {error}", file=name, line=number, hint=hint)) from error
    if not isinstance(value, dict):
        kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
        got = kinds.get(type(value), "a number")
        raise DataError(Problem(f"got {got}, wanted an object", file=name, line=number, hint=hint))
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number; write null for a missing value")


def _read_text(lines: Iterable[Line], name: str) -> Iterator[Row]:
    for number, text in lines:
        yield Row({"text": text.rstrip("\r\n")}, file=name, line=number)


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            twice = [name for name, count in Counter(file.schema_arrow.names).items() if count > 1]
            if twice:
                raise DataError(Problem(f"several columns are called {twice[0]!r}", file=str(path)))
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, place=f"row {number} of {path.name}", file=str(path))
    except pa.ArrowException as error:
        raise DataError(Problem(f"not a readable Parquet file: {error}", file=str(path))) from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_LINE_READERS: dict[str, LineReader] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".txt": _read_text,
}

SUFFIXES = (*_LINE_READERS, ".parquet")
"""The suffixes of files that can be read."""
