"""The task ``classification``: labels as recipes and data write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from gpttasks.errors import DataError
from gpttasks.tasks.example import Part
from gpttasks.tasks.sources import DataOptions
from gpttasks.tasks.splits import load_examples
from gpttasks.tasks.task import Row
from gpttasks_classification import Classification, ClassificationOptions

SHARED = Path(__file__).parents[3] / "shared" / "data"
PROMPT = "{{ text | passage }}\nSentiment:"


def task(labels, **options):
    return Classification(ClassificationOptions(prompt=PROMPT, labels=labels, **options))


def example(labels, value):
    return task(labels).example(Row({"text": "fine", "label": value}, file="train.csv", line=17))


def test_an_example():
    found = example(["negative", "positive"], 1)
    assert found.prompt == (Part("fine", "passage"), Part("\nSentiment:"))
    assert (found.choices, found.label, found.gold_text) == (("negative", "positive"), 1, "positive")
    assert found.fields == Classification.fields


@pytest.mark.parametrize(
    ("labels", "value", "word"),
    [
        (["negative", "positive"], 0, "negative"),
        (["negative", "positive"], "1", "positive"),
        (["negative", "positive"], 1.0, "positive"),
        (["negative", "positive"], "positive", "positive"),
        ([1, 2, 3], 2, "2"),
        (["1", "2", "3"], "1", "1"),
        (["no", "yes"], True, None),
        ({0: "bad", 4: "good"}, 4, "good"),
        ({"0": "bad", "4": "good"}, 4, "good"),
        ({0: "bad", 4: "good"}, "4", "good"),
        ({0: "bad", 4: "good"}, "good", "good"),
        ({0: "bad", 4: "good"}, 1, None),
        ({"pos": "good", "neg": "bad"}, "neg", "bad"),
        ({True: "yes", False: "no"}, True, "yes"),
        ({"a": "b", "b": "a"}, "a", "b"),
        ({1: "bad", 2: "bad", 4: "good", 5: "good"}, 5, "good"),
        ([1, 2, 3], 0, None),
        (["negative", "positive"], 2, None),
        (["negative", "positive"], -1, None),
        (["negative", "positive"], ["positive"], None),
    ],
)
def test_values_of_the_label_column(labels, value, word):
    if word is not None:
        assert example(labels, value).gold_text == word
        return
    with pytest.raises(DataError, match=r"train\.csv:17: the column 'label' holds .*, which is not among the labels"):
        example(labels, value)


def test_an_unknown_label_names_the_known_ones():
    with pytest.raises(
        DataError, match="'postive', which is not among the labels: negative, positive, 0, 1; did you mean"
    ):
        example(["negative", "positive"], "postive")


def test_values_that_mean_the_same_are_one_choice():
    assert task({1: "bad", 2: "bad", 4: "good", 5: "good"}).words == ("bad", "good")


@pytest.mark.parametrize("row", [{"text": "fine"}, {"text": "fine", "label": None}, {"text": "fine", "label": " "}])
def test_a_row_to_predict_has_no_label(row):
    assert task(["negative", "positive"]).example(Row(row)).label is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["only"], "at least two words"),
        ({"a": "x", "b": "x"}, "at least two words"),
        (["a", "b", "a"], "a word twice"),
        (["a", " "], "a blank word"),
        (["a", None], "valid string"),
        ("a b", "labels"),
    ],
)
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(ValidationError, match=message):
        ClassificationOptions(prompt=PROMPT, labels=labels)


def test_other_options_are_checked():
    with pytest.raises(ValidationError, match="line 1 of the template"):
        ClassificationOptions(prompt="{{ text", labels=["a", "b"])
    with pytest.raises(ValidationError, match="lables"):
        ClassificationOptions(prompt=PROMPT, labels=["a", "b"], lables=[])


def test_options_survive_a_dump():
    options = ClassificationOptions(prompt=PROMPT, labels={0: "bad", True: "good"})
    assert ClassificationOptions(**json.loads(options.model_dump_json())) == options
    assert set(ClassificationOptions.model_json_schema()["properties"]) == {"prompt", "label", "labels"}


def test_columns():
    found = task(["a", "b"], label="stars")
    assert (found.columns, found.answer_columns) == ({"text"}, {"stars"})


def test_a_misspelt_column_in_the_template(tmp_path):
    (tmp_path / "test.csv").write_text("txt,label\nfine,1\n")
    with pytest.raises(DataError, match=r"test\.csv:2: there is no column 'text'; .*did you mean 'txt'"):
        load_examples(task(["a", "b"]), DataOptions(path=str(tmp_path)), ["test"], seed=1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_real_news():
    news = task(["World", "Sports", "Business", "Sci/Tech"])
    data = DataOptions(path=str(SHARED / "ag_news"))
    found = load_examples(news, data, ["validation"], seed=1, needs=frozenset({"label"}))["validation"]
    assert (found.rows, len(found.examples)) == (5000, 500)
    assert {item.label for item in found.examples} == {0, 1, 2, 3}
