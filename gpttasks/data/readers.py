"""Reads data files strictly and row by row; errors name the file and the line."""

from __future__ import annotations

import csv
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, TypeAlias

from ..errors import FIX_PLUGIN, DataError, GpttasksError, PluginError, Problem, one_line, show_traceback
from .class_names import names_in_parquet
from .rows import NO_PLACE, Row

Line: TypeAlias = tuple[int, str]
LineReader: TypeAlias = Callable[[Iterable[Line], str], Iterator[Row]]
RowReader: TypeAlias = Callable[[Path], Iterable[Row]]
Quoting: TypeAlias = Literal["none", "csv"]

# The csv module limits a field to 128 KiB, which a whole book exceeds; this is the highest limit on all platforms.
_LARGEST_FIELD = 2**31 - 1
_PARQUET_BATCH = 1000
_SHOWN = 60  # the most characters of a field in a message


@dataclass(frozen=True)
class FileReader:
    """A function that reads the rows of files with one suffix.

    name:
        The suffix in lower case, such as ``.csv``.
    owner:
        The plugin that registered the reader, as messages name it; None for gpttasks itself.
    quoting:
        How it reads quotation marks; None if the format leaves no choice.
    """

    kind: ClassVar[str] = "reader"

    name: str
    function: RowReader
    owner: str | None = None
    quoting: Quoting | None = None

    @property
    def description(self) -> str:
        """The docstring of the function; empty if it has none."""
        return inspect.getdoc(self.function) or ""

    def rows(self, path: Path) -> Iterator[Row]:
        """The rows of a file. DataError and OSError of the function pass; its other errors become PluginError."""
        if self.owner is None:
            yield from self.function(path)
            return
        rows: Iterator[Row] | None = None
        number = 0
        while True:
            try:
                rows = iter(self.function(path)) if rows is None else rows
                row = next(rows)
            except StopIteration:
                return
            except (GpttasksError, OSError):
                raise
            except Exception as error:
                show_traceback(error)
                raise self._failure(path, f"failed after {number:,} rows: {one_line(error)}") from error
            number += 1
            if not isinstance(row, Row):
                raise self._failure(path, f"yielded {type(row).__name__}, expected gpttasks.Row")
            if row.place == NO_PLACE:
                row.place = f"row {number} of {path.name}"
            row.file = row.file or str(path)
            yield row

    def _failure(self, path: Path, what: str) -> PluginError:
        problem = Problem(f"the reader {self.name!r} of the {self.owner} {what}", file=str(path), hint=FIX_PLUGIN)
        return PluginError(problem, names_owner=True)


def read_stream(stream: BinaryIO, name: str) -> Iterator[Row]:
    """The rows of a stream of JSON Lines; messages call the stream ``name``."""
    return _read_json_lines(_lines(stream, name), name)


def _lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """Line numbers, and lines with their line breaks; empty lines at the end of the file are left out."""
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
    """Comma-separated values with a header, quoted as in spreadsheets; values stay text."""
    yield from _read_delimited(lines, name, ",", "csv")


def _read_tsv(lines: Iterable[Line], name: str) -> Iterator[Row]:
    """Tab-separated values with a header; quotes are text, and values stay text."""
    yield from _read_delimited(lines, name, "\t", "none", guessed=True)


def _read_delimited(
    lines: Iterable[Line], name: str, delimiter: str, quoting: Quoting, *, guessed: bool = False
) -> Iterator[Row]:
    """The rows of lines with a header.

    guessed:
        Whether the recipe left open how quotes are read: then a field that looks quoted all the same is an error.
    """
    csv.field_size_limit(_LARGEST_FIELD)
    style: Any = csv.QUOTE_MINIMAL if quoting == "csv" else csv.QUOTE_NONE
    reader = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True, quoting=style)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1  # the line where the record begins; it may span several
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"the record that begins on this line cannot be read: {error}"
            raise DataError(Problem(message, file=name, line=line, hint=_QUOTE_HINTS[quoting])) from error
        if guessed:
            _refuse_quoted(values, name, line, header=header is None)
        if header is None:
            header = _checked_header(values, name, line)
            continue
        values = values or [""] * len(header)
        if len(values) != len(header):
            message = f"got {_count(len(values), 'field')}, expected {len(header)} ({', '.join(header)})"
            raise DataError(Problem(message, file=name, line=line, hint=_SEPARATOR_HINTS[quoting]))
        yield Row(dict(zip(header, values, strict=True)), file=name, line=line)


_QUOTE_HINTS: Mapping[Quoting, str] = {
    "csv": 'put a field that contains a quote in quotes, and double the quote: "so ""called"" news"; '
    "or write task.data.quoting=none if quotes are text in this file",
    "none": "end each line with a line feed; or write task.data.quoting=csv if fields are quoted in this file",
}
_SEPARATOR_HINTS: Mapping[Quoting, str] = {
    "csv": "put a field that contains the separator in quotes",
    "none": "a field cannot hold the separator or a line break, unless it is quoted, as task.data.quoting=csv says",
}


def _refuse_quoted(values: list[str], name: str, line: int, *, header: bool) -> None:
    """Raises DataError if a field has been quoted by the rules of CSV, so that its quotes may not be text."""
    outer = [value for value in values if len(value) > 1 and value[0] == value[-1] == '"']
    quoted = next((value for value in outer if '""' in value[1:-1]), None)
    if quoted is None and header and len(outer) == len(values):
        quoted = next(iter(outer), None)  # all names are: the file quotes every field
    if quoted is not None:
        shown = quoted if len(quoted) <= _SHOWN else quoted[: _SHOWN - 1] + "…"
        message = f"the field {shown} looks quoted as in CSV, and a .tsv file is read without quoting"
        hint = "write task.data.quoting=csv if fields are quoted (pandas does it), else task.data.quoting=none"
        raise DataError(Problem(message, file=name, line=line, hint=hint))


def _checked_header(header: list[str], name: str, line: int) -> list[str]:
    problems = [
        Problem(f"column {number} has no name", file=name, line=line, hint="name it in the header, or remove it")
        for number, column in enumerate(header or [""], 1)
        if not column.strip()
    ]
    problems += [
        Problem(f"{count} columns have the name {column!r}", file=name, line=line, hint="give each its own name")
        for column, count in Counter(header).items()
        if count > 1 and column.strip()
    ]
    if problems:
        raise DataError(problems)
    return header


def _read_json_lines(lines: Iterable[Line], name: str) -> Iterator[Row]:
    """JSON Lines: one object per line."""
    for number, text in lines:
        line = text.strip("\r\n")
        yield Row(_json_object(text, name, number) if line else {}, file=name, line=number)


def _json_object(text: str, name: str, number: int) -> dict[str, Any]:
    hint = "write one JSON object per line and nothing else"
    try:
        value = _JSON.decode(text)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}"
        raise DataError(Problem(message, file=name, line=number, column=error.colno, hint=hint)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(f"not valid JSON: {error}", file=name, line=number, hint=hint)) from error
    if not isinstance(value, dict):
        kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
        got = kinds.get(type(value), "a number")
        raise DataError(Problem(f"got {got}, expected an object", file=name, line=number, hint=hint))
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        duplicate = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {duplicate!r}")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number; write null for a missing value")


_JSON = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _read_text(lines: Iterable[Line], name: str) -> Iterator[Row]:
    """Plain text: each line is a row with the column ``text``."""
    for number, text in lines:
        yield Row({"text": text.rstrip("\r\n")}, file=name, line=number)


def _read_parquet(path: Path) -> Iterator[Row]:
    """Apache Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            duplicates = [name for name, count in Counter(file.schema_arrow.names).items() if count > 1]
            if duplicates:
                raise DataError(Problem(f"several columns have the name {duplicates[0]!r}", file=str(path)))
            number, names = 0, names_in_parquet(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, place=f"row {number} of {path.name}", file=str(path), class_names=names)
    except pa.ArrowException as error:
        raise DataError(Problem(f"not a readable Parquet file: {error}", file=str(path))) from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _by_line(read: LineReader) -> RowReader:
    """Turn a reader of lines into a reader of files."""

    def rows(path: Path) -> Iterator[Row]:
        with path.open("rb") as stream:
            yield from read(_lines(stream, str(path)), str(path))

    rows.__doc__ = read.__doc__
    return rows


_HOW_READ: tuple[tuple[str, RowReader, Quoting | None], ...] = (
    (".csv", _by_line(_read_csv), "csv"),
    (".tsv", _by_line(_read_tsv), "none"),
    (".jsonl", _by_line(_read_json_lines), None),
    (".json", _by_line(_read_json_lines), None),
    (".txt", _by_line(_read_text), None),
    (".parquet", _read_parquet, None),
)
READERS: Mapping[str, FileReader] = {
    suffix: FileReader(suffix, function, quoting=quoting) for suffix, function, quoting in _HOW_READ
}
"""The readers of gpttasks without plugins, by suffix."""


def with_quoting(readers: Mapping[str, FileReader], quoting: Quoting | None) -> Mapping[str, FileReader]:
    """The readers, with those of delimited files reading quotes as ``data.quoting`` says; None: as their suffix does.

    The readers of plugins stay as they are.
    """
    chosen = {
        suffix: _delimited_reader(suffix, delimiter, quoting)
        for suffix, delimiter in ((".csv", ","), (".tsv", "\t"))
        if suffix in readers and readers[suffix].owner is None
    }
    return {**readers, **chosen}


def _delimited_reader(suffix: str, delimiter: str, quoting: Quoting | None) -> FileReader:
    if quoting is None:
        return READERS[suffix]
    return FileReader(suffix, _by_line(partial(_read_delimited, delimiter=delimiter, quoting=quoting)), quoting=quoting)


def read_file(path: Path, readers: Mapping[str, FileReader] = READERS) -> Iterator[Row]:
    """The rows of one file, from the reader for its suffix.

    CSV and TSV have a header, and no value is converted. CSV fields are quoted as in spreadsheets; in TSV, a quote is
    text: see :func:`with_quoting`. JSON Lines have one object per line. A text file has one column, ``text``, and one
    row per line. An empty line within the file is a row without values; empty lines at the end are ignored.

    Raises DataError, with the line if known, for anything that cannot be read. Raises PluginError if a plugin's reader
    fails.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(Problem("the file is empty", file=str(path)))
        yield from readers[path.suffix.lower()].rows(path)
    except OSError as error:
        cause = error.strerror or " ".join(str(error).split())  # a library's message can have several lines
        raise DataError(Problem(f"the file cannot be read: {cause}", file=str(path))) from error
