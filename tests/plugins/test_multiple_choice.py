"""The task ``multiple-choice``: choices that each row brings with it."""

from __future__ import annotations

import json
import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, UnusableRow
from gpttasks.example import Part
from gpttasks.tasks.reading import ExampleReader
from gpttasks_generation.multiple_choice import MultipleChoice, MultipleChoiceOptions

PROMPT = "Q: {{ question | passage }}\nA:"
COLOURS = ["red", "green", "blue"]


def task(**options):
    return MultipleChoice(MultipleChoiceOptions(**{"prompt": PROMPT, **options}))


def row(label=0, choices=COLOURS, **more):
    return Row({"question": "Which?", "choices": choices, "label": label, **more}, file="test.jsonl", line=4)


def test_an_example():
    found = task().example(row(1))
    assert found.prompt == (Part("Q: "), Part("Which?", "passage"), Part("\nA:"))
    assert (found.choices, found.label, found.gold_text) == (tuple(COLOURS), 1, "green")
    assert found.fields == MultipleChoice.fields


def test_columns():
    assert (task().columns, task().answer_columns) == ({"question", "choices"}, {"label"})
    templates = task(choices=["{{ a }}", "{{ b }} again"], label="right")
    assert (templates.columns, templates.answer_columns) == ({"question", "a", "b"}, {"right"})
    assert task(choices="choices.text").columns == {"question", "choices"}


def test_choices_by_templates_and_within_a_mapping():
    values = {"question": "Which?", "one": "fire", "two": "ice", "label": 1}
    assert task(choices=["{{ one }}", "{{ two | upper }}"]).example(Row(values)).choices == ("fire", "ICE")
    nested = row(2, choices={"text": COLOURS, "label": ["A", "B", "C"]})
    assert task(choices="choices.text").example(nested).gold_text == "blue"


@pytest.mark.parametrize(
    ("label_as", "value", "index"),
    [
        ("index", 2, 2),
        ("index", 2.0, 2),
        ("index", " 1 ", 1),
        ("index", "0", 0),
        ("index", 3, None),
        ("index", -1, None),
        ("index", "-1", None),
        ("index", 0.5, None),
        ("index", math.inf, None),
        ("index", "1.0", None),
        ("index", "²", None),
        ("index", "9" * 5000, None),
        ("index", True, None),
        ("index", "A", None),
        ("index", [0], None),
        ("letter", "A", 0),
        ("letter", " c", 2),
        ("letter", "1", 0),
        ("letter", 3, 2),
        ("letter", "0", None),
        ("letter", "4", None),
        ("letter", "D", None),
        ("letter", "AB", None),
        ("letter", "ß", None),
        ("letter", "@", None),
        ("letter", True, None),
        ("letter", {"A": 1}, None),
        ("text", "green", 1),
        ("text", "grean", None),
        ("text", "Green", None),
        ("text", ["green"], None),
    ],
)
def test_what_the_label_column_holds(label_as, value, index):
    found = task(label_as=label_as)
    if index is not None:
        assert found.example(row(value)).label == index
        return
    wanted = {"index": "a position from 0 to 2", "letter": "a letter from A to C", "text": "one of ['red', "}[label_as]
    with pytest.raises(UnusableRow) as caught:
        found.example(row(value))
    message = str(caught.value)
    assert message.startswith("test.jsonl:4: the column 'label' holds ")
    assert f", expected {wanted}" in message


def test_positions_may_begin_at_one():
    assert task(first_index=1).example(row(3)).label == 2
    with pytest.raises(UnusableRow, match="holds 0, expected a position from 1 to 3"):
        task(first_index=1).example(row(0))


def test_numbers_are_texts_on_both_sides():
    assert task(label_as="text").example(row(1984, choices=[1983, 1984])).label == 1


@given(st.integers(2, 26), st.data())
def test_index_and_letter_name_the_same_choice(size, data):
    index = data.draw(st.integers(0, size - 1))
    choices = [f"choice {number}" for number in range(size)]
    letter = string.ascii_uppercase[index]
    found = {
        task().example(row(index, choices)).label,
        task(first_index=1).example(row(str(index + 1), choices)).label,
        task(label_as="letter").example(row(letter, choices)).label,
        task(label_as="letter").example(row(letter.lower(), choices)).label,
        task(label_as="text").example(row(choices[index], choices)).label,
    }
    assert found == {index}


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())))
def test_any_label_is_an_index_or_refused_or_none(value):
    for label_as in ("index", "letter", "text"):
        try:
            label = task(label_as=label_as).example(row(value)).label
        except UnusableRow:
            continue
        assert label is None or (isinstance(label, int) and 0 <= label < 3)


@pytest.mark.parametrize("value", [None, "", "  ", math.nan])
def test_a_row_to_predict_has_no_label(value):
    assert task().example(row(value)).label is None


def test_a_row_to_predict_without_the_column():
    assert task().example(Row({"question": "Which?", "choices": COLOURS})).label is None


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["red"], "the choices are ['red'], expected two or more, none of them blank"),
        ("red", "the choices are ['red'], expected two or more, none of them blank"),
        (["red", " "], "the choices are ['red', ' '], expected two or more, none of them blank"),
        (
            ["red", "blue", "red"],
            "a choice occurs twice: ['red', 'blue', 'red']; allow it with task.equal_choices: true",
        ),
    ],
)
def test_choices_that_cannot_be(choices, message):
    with pytest.raises(UnusableRow) as caught:
        task().example(row(choices=choices))
    assert str(caught.value) == f"test.jsonl:4: {message}"


def test_equal_choices_may_be_allowed():
    assert task(equal_choices=True).example(row(2, ["red", "blue", "red"])).choices == ("red", "blue", "red")


def test_bad_rows_are_counted_and_the_first_is_shown():
    values = [row(0), row(1, ["red"]), row(7), row(2)]
    reader = ExampleReader(task(), DataOptions(path="x"), frozenset({"label"}))
    with pytest.raises(DataError, match=r"2 of 4 rows cannot be used; the first: the choices are \['red'\]"):
        list(reader.read(values))
    skipping = ExampleReader(task(), DataOptions(path="x", bad_rows="skip"), frozenset({"label"}))
    assert [example.label for example in skipping.read(values)] == [0, 2]
    assert (skipping.rows, skipping.skipped) == (4, 2)


def test_choices_in_the_wrong_nesting():
    with pytest.raises(
        DataError, match=r"test.jsonl:4: the column 'choices' holds a list, .*, expected text or a list"
    ):
        task().example(row(choices=[["red"], ["blue"]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_as": "number"}, "label_as"),
        ({"first_index": 2}, "first_index"),
        ({"choices": ["{{ a"]}, "line 1 of the template"),
        ({"prompt": "{{ question }} {{ label }}"}, "prompt: it shows the right answer, which is in the column 'label'"),
        ({"labels": "x"}, "labels"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValidationError, match=message):
        MultipleChoiceOptions(**{"prompt": PROMPT, **options})


def test_options_survive_a_dump():
    for options in (MultipleChoiceOptions(prompt=PROMPT), MultipleChoiceOptions(prompt=PROMPT, choices=["a", "b"])):
        assert MultipleChoiceOptions(**json.loads(options.model_dump_json())) == options


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"choices": ["{{ label }} {{ a }}", "{{ b }}"]}, "choices"),
        ({"contexts": ["{{ a }}", "{{ label }}"], "continuation": " x"}, "contexts"),
        ({"contexts": "a", "continuation": " {{ label }}"}, "continuation"),
    ],
)
def test_templates_that_show_the_right_answer(options, name):
    with pytest.raises(ValidationError, match=f"{name}: it shows the right answer, which is in the column 'label'"):
        task(**options)
