"""The names of classes that data sets carry: in features, in Parquet metadata and in a card."""

from __future__ import annotations

import json

import datasets
import pytest

from gpttasks.data.class_names import names_in_card, names_in_features
from gpttasks.data.opening import open_source
from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError

NAMES = {"label": ("neg", "pos"), "labels": ("joy", "rage")}
FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["neg", "pos"]),
        "labels": datasets.Sequence(datasets.ClassLabel(names=["joy", "rage"])),
    }
)
ROWS = {"text": ["a", "b"], "label": [0, 1], "labels": [[0], [0, 1]]}
CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  - name: labels
    sequence:
      class_label:
        names: {'0': joy, '1': rage}
---
# A card
"""


def first_row(path):
    source = open_source(DataOptions(path=str(path)))
    return next(iter(source.rows(source.splits[0])))


def test_features_of_datasets():
    assert names_in_features(FEATURES) == NAMES
    assert names_in_features({"label": [datasets.ClassLabel(names=["a"])]}) == {"label": ("a",)}
    assert names_in_features(None) == {}


def test_parquet_that_datasets_has_written(tmp_path):
    datasets.Dataset.from_dict(ROWS, features=FEATURES).to_parquet(tmp_path / "train.parquet")
    assert first_row(tmp_path / "train.parquet").class_names == NAMES


def test_a_saved_data_set(tmp_path):
    datasets.Dataset.from_dict(ROWS, features=FEATURES).save_to_disk(tmp_path / "saved")
    assert first_row(tmp_path / "saved").class_names == NAMES


def test_a_card_beside_the_files(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 0}\n')
    assert first_row(tmp_path).class_names == {}
    (tmp_path / "README.md").write_text(CARD)
    assert first_row(tmp_path).class_names == first_row(tmp_path / "train.jsonl").class_names == NAMES


@pytest.mark.parametrize("card", ["", "# None", "---\ndataset_info: [\n---\n", "---\nclass_label: 1\n---\n"])
def test_a_card_that_names_nothing(tmp_path, card):
    (tmp_path / "README.md").write_text(card)
    assert names_in_card(tmp_path) == {}


def test_configurations_that_disagree_name_nothing(tmp_path):
    feature = {"name": "label", "dtype": {"class_label": {"names": {"0": "a", "1": "b"}}}}
    other = {"name": "label", "dtype": {"class_label": {"names": {"0": "b", "1": "a"}}}}
    for features, names in (([feature, feature], {"label": ("a", "b")}), ([feature, other], {})):
        info = {"dataset_info": [{"features": [one]} for one in features]}
        (tmp_path / "README.md").write_text(f"---\n{json.dumps(info)}\n---\n")
        assert names_in_card(tmp_path) == names


def test_a_card_and_a_file_that_contradict_each_other(tmp_path):
    datasets.Dataset.from_dict(ROWS, features=FEATURES).to_parquet(tmp_path / "train.parquet")
    (tmp_path / "README.md").write_text(CARD.replace("'0': neg", "'0': pos").replace("'1': pos", "'1': neg"))
    with pytest.raises(
        DataError, match=r"train.parquet: the file names the classes of the column 'label' neg, pos, but the card"
    ):
        first_row(tmp_path)


def test_names_that_repeat_the_numbers_are_left_out_wherever_they_are(tmp_path):
    numbered = datasets.Features({**FEATURES, "label": datasets.ClassLabel(names=["0", "1"])})
    others = {"labels": NAMES["labels"]}
    assert names_in_features(numbered) == others
    datasets.Dataset.from_dict(ROWS, features=numbered).to_parquet(tmp_path / "train.parquet")
    assert first_row(tmp_path / "train.parquet").class_names == others
    (tmp_path / "README.md").write_text(CARD)
    assert first_row(tmp_path / "train.parquet").class_names == NAMES, "the card names the classes of the file"
    (tmp_path / "README.md").write_text(CARD.replace("neg", "'0'").replace("pos", "'1'"))
    assert names_in_card(tmp_path) == others


def test_the_card_of_shards_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(CARD)
    for number in range(3):
        lines = '{"text": "a", "label": 0}\n' * 4
        (tmp_path / f"train-{number:05}-of-00003.jsonl").write_text(lines)
    source = open_source(DataOptions(path=str(tmp_path)))
    read = []
    monkeypatch.setattr(f"{type(source).__module__}.names_in_card", lambda folder: read.append(folder) or NAMES)
    rows = list(source.rows("train"))
    assert (len(rows), read) == (12, [tmp_path])
    assert all(row.class_names is rows[0].class_names for row in rows), "they are joined once"
    assert rows[0].class_names == NAMES


def test_a_copy_of_a_row_keeps_all_but_the_values():
    row = Row({"a": 1}, place="row 3 of test", class_names=NAMES)
    row.id, row.group, digest = "7", "north", row.digest
    copy = row.with_values({"a": 2})
    assert (copy, copy.place, copy.class_names) == ({"a": 2}, "row 3 of test", NAMES)
    assert (copy.id, copy.group, copy.digest) == ("7", "north", Row({"a": 2}).digest)
    assert (row, row.digest) == ({"a": 1}, digest)
    placed = Row({"a": 1}, file="x.csv", line=4).with_values({"b": 2})
    assert (placed, placed.file, placed.line, placed.place) == ({"a": 1, "b": 2}, "x.csv", 4, "x.csv:4")


def test_names_that_are_lists_of_aliases_are_not_expanded(tmp_path):
    lists = ["- &a0 [x, x, x]"] + [f"- &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    names = "\n".join(f"        {line}" for line in lists)
    feature = "  - name: label\n    dtype:\n      class_label:\n        names:\n"
    (tmp_path / "README.md").write_text(f"---\ndataset_info:\n  features:\n{feature}{names}\n---\n")
    assert names_in_card(tmp_path) == {}
