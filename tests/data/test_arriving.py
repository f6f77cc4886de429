"""Rows of a pipe: in order, as they arrive, and with the error that stopped the reading at its place."""

from __future__ import annotations

import io
import os

import pytest

from gpttasks.data.arriving import ArrivingRows, arriving_rows
from gpttasks.data.rows import Row
from gpttasks.errors import DataError


def soon_ready(rows: ArrivingRows) -> bool:
    """Whether the next row arrives within a few seconds, on a machine that may be busy."""
    return any(rows.ready() for _ in range(1000))


def test_rows_come_while_the_writer_waits() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb") as writer:
        rows = arriving_rows(stream, "standard input")
        writer.write(b'{"text": "a"}\n{"text": "b"}\n')
        writer.flush()
        assert next(rows) == {"text": "a"}
        assert soon_ready(rows)
        assert next(rows) == {"text": "b"}
        assert not rows.ready(), "the writer waits"
        writer.write(b'{"text": "c"}\n')
        writer.close()
        assert [row.line for row in rows] == [3]
        assert soon_ready(rows), "the end is known"
        assert list(rows) == []


def test_an_error_comes_after_the_rows_before_it() -> None:
    rows = arriving_rows(io.BytesIO(b'{"text": "a"}\n{"text"\n'), "standard input")
    assert next(rows) == {"text": "a"}
    with pytest.raises(DataError, match="standard input:2:"):
        next(rows)


def test_more_rows_than_are_read_ahead() -> None:
    rows = ArrivingRows(lambda: (Row({"n": number}) for number in range(10_000)))
    assert [row["n"] for row in rows] == list(range(10_000))
