"""Sources of rows: kinds of paths, splits, and paths that cannot be opened."""

from __future__ import annotations

import gc
import io
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gpttasks.data.opening import open_source
from gpttasks.data.options import DataOptions
from gpttasks.errors import DataError


@pytest.fixture
def folder(tmp_path):
    def make(**files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".parquet":
                pq.write_table(pa.Table.from_pylist(content), path)
            else:
                path.write_text(content, "utf-8")
        return tmp_path

    return lambda files: make(**files)


def source(path, **options):
    return open_source(DataOptions(path=str(path), **options))


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        source(path, **options)
    return str(caught.value)


def test_a_file_is_one_split_called_train(folder):
    opened = source(folder({"reviews.csv": "text\na\nb\n"}) / "reviews.csv")
    assert opened.splits == ("train",)
    assert [row["text"] for row in opened.rows("train")] == ["a", "b"]
    assert not opened.streamed


def test_a_folder_of_files(folder):
    path = folder(
        {"train.csv": "text\na\n", "val.jsonl": '{"text": "b"}\n', "test.parquet": [{"text": "c"}], "notes.md": ""}
    )
    opened = source(path)
    assert set(opened.splits) == {"train", "val", "test"}
    assert [row["text"] for split in ("train", "val", "test") for row in opened.rows(split)] == ["a", "b", "c"]


def test_shards_are_read_in_order(folder):
    path = folder({f"train-{i:05}-of-00003.parquet": [{"n": i}] for i in (2, 0, 1)})
    opened = source(path)
    assert opened.splits == ("train",)
    assert [row["n"] for row in opened.rows("train")] == [0, 1, 2]
    (path / "train-00001-of-00003.parquet").unlink()
    assert "expected 3 files" in refused(path)


def test_a_split_in_two_formats_is_ambiguous(folder):
    assert "got train.csv, train.jsonl, expected one file" in refused(folder({"train.csv": "a\n", "train.jsonl": "{}"}))


def test_a_file_in_the_same_folder_can_be_a_split(folder):
    path = folder({"reviews.csv": "text\na\n", "later.csv": "text\nb\n"}) / "reviews.csv"
    opened = source(path, splits={"test": "later.csv"})
    assert [row["text"] for row in opened.rows("later.csv")] == ["b"]
    message = refused(path, splits={"test": "latter.csv"})
    assert message.startswith("task.data.splits.test: the file ")
    assert "did you mean 'later.csv'?" in message


def test_nested_folder_through_datasets(folder):
    path = folder(
        {"data/train-00000-of-00001.parquet": [{"text": "a"}], "data/test-00000-of-00001.parquet": [{"text": "b"}]}
    )
    opened = source(path)
    assert set(opened.splits) == {"train", "test"}
    (row,) = opened.rows("test")
    assert (dict(row), row.place) == ({"text": "b"}, "row 1 of test")


def test_a_data_card_assigns_files_to_splits(folder):
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: held.csv\n---\n"
    opened = source(folder({"README.md": card, "held.csv": "text\nb\n", "other.csv": "text\na\n"}))
    assert opened.splits == ("test",)
    assert [dict(row) for row in opened.rows("test")] == [{"text": "b"}]


CARD = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: {path}\n---\n"


@pytest.mark.parametrize("layout", ["card", "sub-folder"])
def test_a_folder_is_never_taken_for_another_or_for_what_it_was(tmp_path, layout):
    """Folders of one name, with the same card, and files with the same times."""

    def rows(name, words):
        folder = tmp_path / name / "data"
        file = folder / ("held.csv" if layout == "card" else "deep/test.csv")
        file.parent.mkdir(parents=True, exist_ok=True)
        if layout == "card":
            (folder / "README.md").write_text(CARD.format(path="held.csv"))
        file.write_text("text\n" + "".join(f"{word}\n" for word in words))
        os.utime(file, (1e9, 1e9))
        return [row["text"] for row in source(folder).rows("test")]

    assert rows("a", ["good", "fine"]) == ["good", "fine"]
    assert rows("b", ["bad", "poor", "dull"]) == ["bad", "poor", "dull"]
    assert rows("a", ["better", "best"]) == ["better", "best"]


def test_a_card_may_name_files_elsewhere(tmp_path):
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "README.md").write_text(CARD.format(path="../elsewhere/*.csv"))
    for word in ("good", "bad"):
        (elsewhere / "held.csv").write_text(f"text\n{word}\n")
        assert [row["text"] for row in source(folder).rows("test")] == [word]


def test_a_folder_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "README.md").write_text(CARD.format(path="held.csv"))
    (tmp_path / "held.csv").write_text("text\ngood\n")
    opened = source(tmp_path)
    del opened
    gc.collect()
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "held.csv").unlink()
    refused(tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    import datasets

    (tmp_path / "file").touch()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file/cache")
    (tmp_path / "README.md").write_text(CARD.format(path="held.csv"))
    assert "set HF_DATASETS_CACHE to a folder that is writable" in refused(tmp_path)


def test_a_data_set_saved_to_disk(tmp_path):
    import datasets

    data = datasets.DatasetDict({"test": datasets.Dataset.from_dict({"text": ["a", "b"]})})
    data.save_to_disk(str(tmp_path / "saved"))
    opened = source(tmp_path / "saved")
    assert opened.splits == ("test",)
    assert [row["text"] for row in opened.rows("test")] == ["a", "b"]


def test_audio_stays_bytes(tmp_path):
    import datasets

    data = datasets.Dataset.from_dict({"audio": [{"bytes": b"RIFF", "path": None}]})
    data.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(str(tmp_path / "saved"))
    state = json.loads((tmp_path / "saved/dataset_info.json").read_text())
    state["features"]["audio"]["decode"] = True
    (tmp_path / "saved/dataset_info.json").write_text(json.dumps(state))
    (row,) = source(tmp_path / "saved").rows("train")
    assert row["audio"]["bytes"] == b"RIFF"


def test_the_cause_within_a_library_error_is_shown(folder):
    path = folder({"data/train.jsonl": '{"a": 1}\nnot json\n'})
    assert "JSON parse error" in refused(path)


def test_a_hub_id_that_cannot_be_reached(monkeypatch):
    import datasets

    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach 'stanfordnlp/imdb' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    message = refused("stanfordnlp/imdb")
    assert message.startswith("task.data.path: the data set 'stanfordnlp/imdb' cannot be opened: Couldn't reach")
    assert "give a file or folder" in message


def test_quoting_of_delimited_files(folder):
    path = folder({"train.tsv": 'text\n"a"\n', "test.csv": 'text\n"b"\n', "more.jsonl": '{"text": "c"}\n'})
    expected = {None: ['"a"', "b"], "csv": ["a", "b"], "none": ['"a"', '"b"']}
    for quoting, texts in expected.items():
        opened = source(path, quoting=quoting)
        assert [row["text"] for split in ("train", "test") for row in opened.rows(split)] == texts
        assert opened.quoting() == {".csv": quoting or "csv", ".tsv": quoting or "none"}


def test_quoting_without_delimited_files_is_refused(folder):
    path = folder({"train.jsonl": '{"text": "a"}\n'})
    assert refused(path, quoting="csv").startswith("task.data.quoting: it has no effect")


def test_hub_options_reach_the_library(monkeypatch):
    import datasets

    asked = {}

    def load(path, **options):
        asked.update(options, path=path)
        data = datasets.Dataset.from_dict({"text": ["a"]})
        return datasets.IterableDatasetDict({"train": data.to_iterable_dataset()})

    monkeypatch.setattr(datasets, "load_dataset", load)
    opened = source("org/data", config="plain", revision="v1", streaming=True)
    assert asked == {"path": "org/data", "name": "plain", "revision": "v1", "streaming": True}
    assert opened.streamed
    assert [dict(row) for row in opened.rows("train")] == [{"text": "a"}]


def test_a_full_disk_is_not_a_data_error(monkeypatch):
    import errno

    import datasets

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(OSError, match="No space left"):
        source("org/data")


def test_standard_input_is_read_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n')))
    opened = source("-")
    assert opened.splits == ("train",)
    assert opened.streamed
    (row,) = opened.rows("train")
    assert (dict(row), row.place) == ({"text": "a"}, "standard input:1")
    with pytest.raises(DataError, match="cannot be read again"):
        list(opened.rows("train"))


def test_paths_that_do_not_exist(folder):
    path = folder({"reviews.csv": "text\n"})
    assert "did you mean 'reviews.csv'?" in refused(path / "review.csv")
    assert "does not exist either" in refused(path / "gone" / "review.csv")
    assert "does not exist" in refused("reviews_that_are_not_there.csv")
    assert "no reader for files such as" in refused(folder({"a.xlsx": ""}) / "a.xlsx")


def test_a_folder_without_data(tmp_path):
    assert "has no data" in refused(tmp_path)


@pytest.mark.parametrize("options", [{"config": "a"}, {"revision": "b"}])
def test_hub_options_for_files_are_refused(folder, options):
    path = folder({"train.csv": "text\na\n"})
    (name,) = options
    assert refused(path / "train.csv", **options).startswith(f"task.data.{name}: only a data set on the Hub")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holdout": {"validation": 1.5}}, "expected a fraction between 0 and 1"),
        ({"holdout": {"validation": 0.5, "test": 0.5}}, "leaves nothing to train on"),
        ({"holdout": {"trian": 0.5}}, "validation"),
        ({"holdout": {"test": {"fraction": 0.5, "from": "x"}}}, "Extra inputs"),
        ({"holdout": {"test": 0.5}, "splits": {"test": "x"}}, "remove one of them"),
        ({"splits": {"train": "all", "test": "all"}}, "the roles train and test use the same split 'all'"),
        ({"splits": {"tset": "all"}}, "train"),
        ({"bad_rows": "ignore"}, "skip"),
        ({"spilts": {}}, "Extra inputs"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        DataOptions(path="a.csv", **options)
