"""Words of a recipe against the names that the data give their classes, and values against keys."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gpttasks import DataError, Row
from gpttasks.data.options import SplitOptions
from gpttasks.tasks.reading import ExampleReader
from gpttasks.tasks.template import Template
from gpttasks_classification.multi import MultiLabelClassification, MultiLabelOptions
from gpttasks_classification.regression import RegressionOptions, RegressionTask
from gpttasks_classification.single import Classification, ClassificationOptions
from gpttasks_generation.multiple_choice import MultipleChoice


def words_of(labels, values, names=()):
    """The word that each value of the label column is read as."""
    task = Classification(ClassificationOptions(prompt="{{ text }}", labels=labels))
    rows = [Row({"text": "a", "label": value}, class_names={"label": names} if names else {}) for value in values]
    examples = [task.example(row) for row in rows]
    return [example.choices[example.label] for example in examples]


STARS = ("1", "2", "3")


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (["negative", "positive"], ("negative", "positive"), ["negative", "positive"]),
        (["negative", "positive"], ("neg", "pos"), ["negative", "positive"]),
        (["ATM limit", "app error"], ("atm_limit", "app_error"), ["ATM limit", "app error"]),
        (["World", "Sci/Tech"], ("World", "Sci/Tech"), ["World", "Sci/Tech"]),
        ([1, 2, 3], STARS, ["1", "2", "3"]),  # class 0 is called 1
        (["one", "two"], (), ["one", "two"]),
        ({"neg": "schlecht", "pos": "gut"}, ("neg", "pos"), ["schlecht", "gut"]),
        ({"pos": "gut", "neg": "schlecht"}, ("neg", "pos"), ["schlecht", "gut"]),
        ({"no_match": "different", "match": "same"}, ("no_match", "match"), ["different", "same"]),
        ({0: "negative", 1: "positive"}, ("neg", "pos"), ["negative", "positive"]),
        ({0: "a", 1: "b", "x": "a", "y": "b"}, ("x", "y"), ["a", "b"]),
        ({"neg": "bad", "neutral": "bad", "pos": "good"}, ("neg", "neutral", "pos"), ["bad", "bad", "good"]),
        ({1: "poor", 2: "fair", 3: "good"}, STARS, ["poor", "fair", "good"]),
    ],
)
def test_a_class_is_read_by_its_name(labels, names, words):
    assert words_of(labels, range(len(words)), names) == words


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (["positive", "negative"], ("neg", "pos"), r"'positive' for 0, .*labels: \{neg: negative, pos: positive\}"),
        (["pos", "neg"], ("neg", "pos"), r"labels: \{neg: neg, pos: pos\}"),
        ({0: "positive", 1: "negative"}, ("neg", "pos"), r"labels: \{neg: negative, pos: positive\}"),
        (
            ["different", "same"],
            ("no_match", "match"),
            r"labels: \{\"no_match\"|labels: \{no_match: different, match: same",
        ),
        (["no", "yes"], ("yes", "no"), r'labels: \{"yes": "yes", "no": "no"\}'),
        (["World", "Business", "Sports"], ("World", "Sports", "Business"), "'Business' for 1, 'Sports' for 2"),
        (["entailment", "contradiction"], ("entailment", "neutral", "contradiction"), "2 words for 3 classes"),
        (["negative", "negative strong"], ("negative_strong", "neg"), "task.labels has 'negative' for 0"),
        ({0: "b", 1: "a", "x": "a", "y": "b"}, ("x", "y"), "maps '0' and 'x', the number and the name of one class"),
        ({"x": "a", "0": "b", "y": "c"}, ("x", "y"), "maps '0' and 'x', the number and the name of one class"),
        ({0: "poor", 1: "fair", 2: "good"}, STARS, "poor"),
        ({0: "no", 1: "yes"}, ("1", "0"), "the number and the name of one class, to different words"),
    ],
)
def test_a_contradiction_is_refused_with_the_line_to_write(labels, names, message):
    with pytest.raises(DataError, match=message) as caught:
        words_of(labels, [0], names)
    assert "the data name the classes of the column 'label' 0 " in str(caught.value)


def test_the_suggested_line_is_accepted():
    assert words_of({"neg": "negative", "pos": "positive"}, [0, 1], ("neg", "pos")) == ["negative", "positive"]
    assert words_of({"yes": "yes", "no": "no"}, [0, 1], ("yes", "no")) == ["yes", "no"]


def test_a_class_without_a_word():
    labels = {"neg": "negative", "positve": "positive"}
    with pytest.raises(
        DataError, match=r"holds 1, the class 'pos', which is not among the labels.*did you mean 'positve'"
    ):
        words_of(labels, [0, 1], ("neg", "pos"))


def test_texts_in_a_column_whose_card_names_classes():
    assert words_of({"neg": "bad", "pos": "good"}, ["neg", "1", 1.0], ("neg", "pos")) == ["bad", "good", "good"]


@pytest.mark.parametrize("key", [1, "1", 1.0])
@pytest.mark.parametrize("value", [1, "1", 1.0, True])
def test_one_is_one_however_it_is_written(key, value):
    assert words_of({key: "yes", 0: "no"}, [value, 0]) == ["yes", "no"]


@pytest.mark.parametrize("key", [True, "true"])
def test_true_is_true_quoted_or_not(key):
    assert words_of({key: "yes", False: "no"}, [True, "true", False]) == ["yes", "yes", "no"]


def test_one_and_true_may_be_mixed_where_the_key_is_one():
    assert words_of({"1": "yes", "0": "no"}, [1, True, "1", 0, False]) == ["yes", "yes", "yes", "no", "no"]
    with pytest.raises(DataError, match="holds 'true', which is not among the labels"):
        words_of(["yes", "no"], [True])  # a position is not a truth value


@pytest.mark.parametrize("labels", [{1: "yes", "1": "no"}, {"true": "yes", True: "no", 0: "x"}, {1.0: "a", "1": "b"}])
def test_one_key_written_twice_is_refused(labels):
    with pytest.raises(ValidationError, match="which are the same value"):
        ClassificationOptions(prompt="{{ text }}", labels=labels)


def test_lists_of_classes_have_names_too():
    rows = [
        Row({"text": str(labels), "labels": labels}, class_names={"labels": ("anger", "joy")})
        for labels in ([0], [0, 1], [])
    ]
    task = MultiLabelClassification(MultiLabelOptions(prompt="{{ text }}", labels={"joy": "happy", "anger": "cross"}))
    reader = ExampleReader(task, SplitOptions())
    assert [example.labels for example in reader.read(rows)] == [(1,), (0, 1), ()]
    assert reader.label_values == {("0 (anger)", "cross"): 2, ("1 (joy)", "happy"): 1}
    with pytest.raises(DataError, match=r"labels: \{anger: anger, joy: joy\}"):
        MultiLabelClassification(MultiLabelOptions(prompt="{{ text }}", labels=["joy", "anger"])).example(rows[0])


def test_leaks_are_found_where_the_recipe_names_classes():
    names = {"label": ("neg", "pos")}
    task = Classification(
        ClassificationOptions(prompt="{{ text }} {{ label + 0 }}", labels={"neg": "bad", "pos": "good"})
    )
    rows = [Row({"text": "a", "label": value}, class_names=names) for value in (0, 1)]
    with pytest.raises(DataError, match="the prompt contains the right answer"):
        list(ExampleReader(task, SplitOptions()).read(rows))


def test_other_tasks_read_a_class_by_its_name():
    stars = Row({"text": "a", "label": 0}, class_names={"label": STARS})
    assert RegressionTask(RegressionOptions(prompt="{{ text }}")).example(stars).value == 1.0
    unnamed = Row({"text": "a", "label": 0}, class_names={"label": ("bad", "good")})
    assert RegressionTask(RegressionOptions(prompt="{{ text }}")).example(unnamed).value == 0.0
    letters = Row({"q": "a", "options": ["x", "y"], "label": 1}, class_names={"label": ("A", "B")})
    for label_as, label in (("letter", 1), ("index", 1)):
        options = MultipleChoice.Options(prompt="{{ q }}", choices="options", label="label", label_as=label_as)
        assert MultipleChoice(options).example(letters).label == label
    texts = Row({"q": "a", "options": ["y", "x"], "label": 1}, class_names={"label": ("x", "y")})
    options = MultipleChoice.Options(prompt="{{ q }}", choices="options", label="label", label_as="text")
    assert MultipleChoice(options).example(texts).label == 0


def test_a_template_that_shows_the_number_of_a_class():
    row = Row({"label": 1, "n": 3}, class_names={"label": ("neg", "pos")})
    for source in ("{{ label }}", "{{ label | string | passage }}", "a\n{% if n %}{{ label }}{% endif %}"):
        with pytest.raises(
            DataError, match=r"the number of the class 'pos'; write \{\{ \['neg', 'pos'\]\[label\] \}\} for"
        ):
            Template(source).render(row)
    assert Template("{{ ['neg', 'pos'][label] }} {{ label + 0 }} {{ n }}").render_text(row) == "pos 1 3"
