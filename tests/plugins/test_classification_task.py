"""The tasks of classification and regression: right answers as recipes and data write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Part
from gpttasks.plugins import load_plugins
from gpttasks.tasks.reading import ExampleReader
from gpttasks.tasks.splits import load_examples
from gpttasks_classification.multi import MultiLabelClassification, MultiLabelOptions
from gpttasks_classification.regression import RegressionOptions, RegressionTask
from gpttasks_classification.single import Classification, ClassificationOptions

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


TOPICS = ["world", "sport", "money"]


def topics(labels=TOPICS, **options):
    return MultiLabelClassification(MultiLabelOptions(prompt="{{ text | passage }} =", labels=labels, **options))


def with_topics(value, labels=TOPICS, **options):
    return topics(labels, **options).example(Row({"text": "fine", "labels": value}, file="train.jsonl", line=17))


def test_an_example_with_several_labels():
    found = with_topics(["money", "world"])
    assert (found.choices, found.labels, found.label) == (tuple(TOPICS), (0, 2), None)
    assert (found.target, found.gold_text) == ("world, money", "world, money")
    assert found.fields == MultiLabelClassification.fields


@pytest.mark.parametrize(
    ("value", "options", "target"),
    [
        ([], {}, ""),
        ((), {}, ""),
        ([0, 2], {}, "world, money"),
        (["2", 1.0], {}, "sport, money"),
        (["sport", "sport"], {}, "sport"),
        ("sport", {}, "sport"),
        (1, {}, "sport"),
        ("sport", {"separator": ";"}, "sport"),
        ("money; world;", {"separator": ";"}, "world, money"),
        ("0 2", {"separator": " "}, "world, money"),
        ("", {"separator": ";"}, ""),
        (" ; ", {"separator": ";"}, ""),
        (["world", "money"], {"separator": ";"}, "world, money"),
        ([4, 0], {"labels": {0: "bad", 4: "good"}}, "bad, good"),
        (["a", "b"], {"labels": {"a": "x", "b": "x", "c": "y"}}, "x"),
        ([3, 1], {"labels": [1, 2, 3]}, "1, 3"),
    ],
)
def test_values_of_a_column_with_several_labels(value, options, target):
    assert with_topics(value, **options).target == target


@pytest.mark.parametrize(
    ("value", "options", "told"),
    [
        (["world", "spurt"], {}, "'spurt', which is not among the labels: .*did you mean 'sport'"),
        (["world", None], {}, "None"),
        ([["world"]], {}, r"\['world'\]"),
        ([3], {}, "'3'"),
        ({"world": 1}, {}, "'world': 1"),
        ("world;sport", {}, "'world;sport'"),
        ("world,sport", {"separator": ";"}, "'world,sport'"),
    ],
)
def test_labels_among_several_that_are_not_known(value, options, told):
    with pytest.raises(DataError, match=rf"train\.jsonl:17: the column 'labels' holds .*{told}"):
        with_topics(value, **options)


@pytest.mark.parametrize("row", [{"text": "fine"}, {"text": "fine", "labels": None}, {"text": "fine", "labels": " "}])
def test_a_row_to_predict_has_no_labels(row):
    found = topics().example(Row(row))
    assert (found.labels, found.target, found.choices) == (None, None, tuple(TOPICS))


def write_rows(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_an_empty_list_of_labels_can_be_trained_on(tmp_path):
    write_rows(tmp_path / "train.jsonl", [{"text": "a", "labels": []}, {"text": "b", "labels": ["sport"]}])
    data, needs = DataOptions(path=str(tmp_path)), frozenset({"prompt", "choices", "labels"})
    found = load_examples(topics(), data, ["train"], seed=1, needs=needs)["train"]
    assert [example.labels for example in found.examples] == [(), (1,)]
    write_rows(tmp_path / "train.jsonl", [{"text": "a", "labels": []}, {"text": "b", "labels": None}])
    with pytest.raises(DataError, match=r"1 of 2 rows cannot be used; the first: there is no labels"):
        load_examples(topics(), data, ["train"], seed=1, needs=needs)


def test_a_blank_text_of_labels_in_csv_can_be_trained_on(tmp_path):
    (tmp_path / "train.csv").write_text("text,labels\na,\nb,sport|money\n")
    found = load_examples(
        topics(separator="|"), DataOptions(path=str(tmp_path)), ["train"], seed=1, needs=frozenset({"labels"})
    )["train"]
    assert [example.target for example in found.examples] == ["", "sport, money"]


def test_options_with_several_labels():
    found = topics(label="tags")
    assert (found.columns, found.answer_columns) == ({"text"}, {"tags"})
    for wrong in ({"labels": ["only"]}, {"labels": ["a", "a"]}, {"separator": ""}, {"seperator": ";"}):
        with pytest.raises(ValidationError):
            MultiLabelOptions(**({"prompt": PROMPT, "labels": TOPICS} | wrong))


def number_task(**options):
    return RegressionTask(RegressionOptions(prompt="{{ text | passage }} =", **options))


def with_number(value, **options):
    return number_task(**options).example(Row({"text": "fine", "label": value}, file="train.csv", line=17))


@pytest.mark.parametrize(
    ("value", "number", "target"),
    [
        (3, 3.0, "3"),
        (3.8, 3.8, "3.8"),
        ("3.80", 3.8, "3.8"),
        (" -2 ", -2.0, "-2"),
        ("1e-7", 1e-7, "1e-07"),
        (1234567.25, 1234567.25, "1234567.25"),
        (0, 0.0, "0"),
    ],
)
def test_an_example_with_a_number(value, number, target):
    found = with_number(value)
    assert (found.value, type(found.value), found.target, found.choices) == (number, float, target, ())
    assert found.fields == RegressionTask.fields


@pytest.mark.parametrize(
    "value", ["three", "3,5", "nan", float("nan"), "inf", float("-inf"), True, [3], {"a": 1}, 10**400]
)
def test_what_is_no_number(value):
    with pytest.raises(DataError, match=r"train\.csv:17: the column 'label' holds .*, expected a finite number"):
        with_number(value)


@pytest.mark.parametrize("row", [{"text": "fine"}, {"text": "fine", "label": None}, {"text": "fine", "label": " "}])
def test_a_row_to_predict_has_no_number(row):
    found = number_task().example(Row(row))
    assert (found.value, found.target, found.fields) == (None, None, {"prompt"})
    rows = ExampleReader(number_task(), DataOptions(path="x")).read([Row(row)])
    assert [example.value for example in rows] == [None]


def test_numbers_in_data(tmp_path):
    (tmp_path / "train.csv").write_text("text,score\na,0\nb,4.5\n")
    data = DataOptions(path=str(tmp_path))
    found = load_examples(number_task(label="score"), data, ["train"], seed=1, needs=frozenset({"value"}))["train"]
    assert [example.value for example in found.examples] == [0.0, 4.5]
    with pytest.raises(DataError, match="there is no value, since there is no column 'label'"):
        load_examples(number_task(), data, ["train"], seed=1, needs=frozenset({"value"}))


def test_schemas_name_the_options():
    assert set(MultiLabelOptions.model_json_schema()["properties"]) == {"prompt", "label", "labels", "separator"}
    assert set(RegressionOptions.model_json_schema()["properties"]) == {"prompt", "label"}


def test_the_tasks_are_registered():
    names = load_plugins().names("task")
    assert {"classification", "multi-label-classification", "regression"} <= set(names)
