"""CSV output holds no formulas, and numbers stay numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from gpttasks.cli.csv_cells import Cells
from gpttasks.cli.prediction_files import written_rows


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+1", "-x", "@SUM(A1)", "\t=1", "\r=1", "+", "-", "-1-2", "-\u0663"]
)
def test_formulas_become_text(text: str) -> None:
    cells = Cells()
    assert cells.cell(text) == f"'{text}"
    assert cells.neutralised == 1


@pytest.mark.parametrize("value", ["-2.5e-3", "+1", "-.5", "-7.", "a=b", "", " =1", "'=1", -1, 2.5])
def test_numbers_and_other_text_are_unchanged(value: str | float) -> None:
    cells = Cells()
    assert cells.cell(value) == value
    assert cells.note() is None


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    with written_rows(path) as write:
        for row in rows:
            write(row)


def test_a_file_says_what_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"=key": "=1+1", "b": -1}, {"=key": "plain", "b": None}]
    write_rows(rows, tmp_path / "out.csv")
    assert "2 cells begin like a formula" in capsys.readouterr().err
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["'=key", "b"], ["'=1+1", "-1"], ["plain", ""]]
    write_rows(rows, tmp_path / "out.jsonl")
    assert capsys.readouterr().err == ""
    assert '"=1+1"' in (tmp_path / "out.jsonl").read_text()
