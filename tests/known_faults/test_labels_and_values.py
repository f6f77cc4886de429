"""Labels and values: data silently read as other words or classes, and classes that can never win."""

from __future__ import annotations

import pytest

from gpttasks.answer import Answer
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Example, prompt_text
from gpttasks.pipeline.class_warnings import length_warning, never_answered
from gpttasks.tasks.template import Template
from gpttasks_classification.single import Classification, ClassificationOptions


def test_bytes_and_lists_in_prompts():
    """Prompts showed "b'A caf..'", "['A', 'b']" or "True"; bytes are decoded, and other values refused with a hint."""
    prompt = Template("{{ text | passage }}\nKind:")
    assert prompt_text(prompt.render({"text": "A café.".encode()})) == "A café.\nKind:"
    for value, hint in (
        (["A", "b"], "join"),
        ({"en": "A"}, "text.en"),
        (True, "'yes' if text else 'no'"),
        (b"\xff", "media"),
    ):
        with pytest.raises(DataError, match=f"the column 'text' is .*{hint}"):
            prompt.render({"text": value})


def test_words_and_positions_become_one_label():
    """A column with '0' and 'bad' silently counted both as one class; now this needs a mapping."""
    options = {"prompt": "{{ text }}", "label": "label"}
    rows = [{"text": "dull", "label": "bad"}, {"text": "slow", "label": 0}]
    listed = Classification(ClassificationOptions(labels=["bad", "good"], **options))
    listed.example(Row(rows[0]))
    with pytest.raises(DataError, match="holds '0' here and 'bad' before, which both mean 'bad'"):
        listed.example(Row(rows[1]))
    mapped = Classification(ClassificationOptions(labels={"bad": "bad", 0: "bad", "good": "good"}, **options))
    assert [mapped.example(Row(row)).label for row in rows] == [0, 0]


def test_class_of_more_tokens_cannot_win() -> None:
    """Zero-shot, a class of three tokens never won against classes of one token; a run warns about the lengths and the
    result.
    """
    sections = ("World", "Sports", "Sci/Tech")
    examples = [Example("A text.", choices=sections, label=number % 3) for number in range(60)]
    answers = [Answer(number % 2, detail={"tokens": (1, 1, 3)}) for number in range(60)]
    lengths, missed = length_warning(examples, answers), never_answered(examples, answers)
    assert lengths is not None
    assert "'Sci/Tech' 3" in lengths
    assert missed == "never answered: 'Sci/Tech', right for 20 of 60 examples"


@pytest.mark.parametrize("source", ["{{ '%s' % tags }}", "{{ '{}'.format(tags) }}", "{{ 'a' | replace('a', tags) }}"])
def test_a_list_becomes_text_by_an_operator(source):
    """`{{ tags }}` was refused, but string formatting still showed "['a', 'b']"; now every conversion to text is
    refused.
    """
    with pytest.raises(DataError, match="the column 'tags' is a list"):
        Template(source).render({"tags": ["a", "b"]})


def test_bytes_are_measured_and_cut_as_bytes():
    """Bytes that hold text were counted and cut as bytes, and were never equal to a text; they are decoded first."""
    row = {"text": "Ä café".encode()}
    assert Template("{{ text | length }} {{ text[:1] }}").render_text(row) == "6 Ä"
    assert Template("{{ 'yes' if text == 'Ä café' else 'no' }}").render_text(row) == "yes"


def test_words_in_another_order_than_the_class_names_of_the_data():
    """Labels were read by position although the data name their classes: 0 (neg) silently became "positive"."""
    row = Row({"text": "dull", "label": 0}, class_names={"label": ("neg", "pos")})
    for labels in (["positive", "negative"], {0: "positive", 1: "negative"}, ["schlecht", "gut"]):
        with pytest.raises(DataError, match=r"the data name the classes of the column 'label' 0 'neg', 1 'pos'"):
            Classification(ClassificationOptions(prompt="{{ text }}", labels=labels)).example(row)
    for labels, word in ((["negative", "positive"], "negative"), ({"pos": "gut", "neg": "schlecht"}, "schlecht")):
        example = Classification(ClassificationOptions(prompt="{{ text }}", labels=labels)).example(row)
        assert example.choices[example.label] == word


def test_one_key_in_two_spellings_and_one_value_in_three():
    """`{1: yes, "1": no}` silently kept the second entry; it is refused, and `{"1": yes}` matches 1, 1.0 and true."""
    with pytest.raises(ValueError, match="which are the same value"):
        ClassificationOptions(prompt="{{ text }}", labels={1: "yes", "1": "no"})
    task = Classification(ClassificationOptions(prompt="{{ text }}", labels={"1": "yes", "0": "no"}))
    assert [task.example(Row({"text": "a", "label": value})).label for value in (1, 1.0, True, 0)] == [0, 0, 0, 1]
