"""Reading data: rows that differ from those in the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpttasks.data.opening import open_source
from gpttasks.data.options import DataOptions
from gpttasks.errors import DataError

CARD = "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: test, path: test.csv}\n---\n"


def read(path: Path, split: str = "test", **options: str) -> list[list[object]]:
    source = open_source(DataOptions(path=str(path), **options))
    return [list(row.values()) for row in source.rows(split)]


def test_folder_with_card_reads_other_folders_data(tmp_path: Path) -> None:
    """A folder with a dataset card got cached rows: those of another folder with its name, or older ones of its own."""
    for name, text in (("a", "good"), ("b", "awful")):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "README.md").write_text(CARD)
        (tmp_path / name / "data" / "test.csv").write_text(f"text,label\n{text},1\n")
    assert read(tmp_path / "a" / "data") == [["good", 1]]
    assert read(tmp_path / "b" / "data") == [["awful", 1]]
    (tmp_path / "a" / "data" / "test.csv").write_text("text,label\ngrim,0\n")
    assert read(tmp_path / "a" / "data") == [["grim", 0]]


def test_tsv_quotes_merge_rows(tmp_path: Path) -> None:
    """A quotation mark at the start of a TSV field joined all rows up to the next mark; TSV is read without quoting by
    default.
    """
    file = tmp_path / "test.tsv"
    file.write_text('sentence\tlabel\n"I loved it\t1\nboring\t0\nsays the critic"\t0\n"A masterpiece"\t1\n')
    assert read(file, "train") == [
        ['"I loved it', "1"],
        ["boring", "0"],
        ['says the critic"', "0"],
        ['"A masterpiece"', "1"],
    ]
    assert [row[1] for row in read(file, "train", quoting="csv")] == ["0", "1"]


def test_quoted_tsv_read_without_quoting(tmp_path: Path) -> None:
    """pandas writes TSV with quoting; a field that looks quoted is an error that names both values of data.quoting."""
    file = tmp_path / "test.tsv"
    file.write_text('sentence\tlabel\n"He said ""yes"" today"\t1\n')
    with pytest.raises(DataError, match=r"test.tsv:2: .*looks quoted as in CSV.*quoting=csv.*quoting=none"):
        read(file, "train")
    assert read(file, "train", quoting="csv") == [['He said "yes" today', "1"]]
    assert read(file, "train", quoting="none") == [['"He said ""yes"" today"', "1"]]
