"""Ids, groups, and rows that cannot be used."""

from __future__ import annotations

import pytest

from gpttasks.component import Options
from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Example
from gpttasks.tasks.reading import ExampleReader, is_blank
from gpttasks.tasks.task import Task
from gpttasks.tasks.template import Template


class PromptOptions(Options):
    prompt: str = "{{ text | passage }}:"


class Labelled(Task):
    name = "labelled"
    Options = PromptOptions

    def __init__(self, options=None):
        super().__init__(options)
        self.template = Template(self.options.prompt)

    @property
    def columns(self):
        return self.template.required

    @property
    def answer_columns(self):
        return frozenset({"label"})

    def example(self, row):
        return Example(self.template.render(row), label=row.get("label"))


def rows(*values):
    return [Row(value, file="train.csv", line=number) for number, value in enumerate(values, 2)]


def read(values, *, needs=(), task=None, **options):
    reader = ExampleReader(task or Labelled(), DataOptions(path="x", **options), frozenset(needs))
    return reader, list(reader.read(rows(*values)))


def refused(values, **options):
    with pytest.raises(DataError) as caught:
        read(values, **options)
    return str(caught.value)


def test_ids_are_digests_and_occurrence_numbers():
    values = [{"text": "a"}, {"text": "b"}, {"text": "a"}, {"text": "a"}]
    _, examples = read(values)
    first, second = (Row(value).digest[:16] for value in values[:2])
    assert [example.id for example in examples] == [first, second, f"{first}-2", f"{first}-3"]
    assert [example.input_digest for example in examples] == [Row(value).digest for value in values]


def test_ids_do_not_depend_on_the_prompt_or_on_the_order():
    values = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    _, forward = read(values)
    _, other = read(values[::-1], task=Labelled(PromptOptions(prompt="Q: {{ text }}")))
    assert {example.id for example in forward} == {example.id for example in other}


def test_id_and_group_columns():
    _, examples = read([{"text": "a", "n": 1, "doc": "x"}, {"text": "b", "n": 2, "doc": 7}], id="n", group="doc")
    assert [(example.id, example.group) for example in examples] == [("1", "x"), ("2", "7")]


def test_an_id_that_stands_twice_names_both_rows():
    message = refused([{"text": "a", "n": 1}, {"text": "b", "n": 2}, {"text": "c", "n": 1}], id="n")
    assert "duplicate id '1', at train.csv:2 and train.csv:4" in message


def test_a_missing_id_column():
    assert "there is no column 'idx'; the columns are 'text', 'id'; did you mean 'id'?" in refused(
        [{"text": "a", "id": 1}], id="idx"
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"text": None, "label": 1}, "the column 'text' is null"),
        ({"text": " \n", "label": 1}, "the column 'text' is blank"),
        ({"text": "", "label": None}, "the row is empty"),
        ({}, "the row is empty"),
        ({"text": "broken \ud800", "label": 1}, "lone surrogate"),
        ({"text": "fine", "label": None}, "there is no label"),
    ],
)
def test_bad_rows_are_counted_and_the_first_is_shown(bad, reason):
    good = {"text": "good", "label": 0}
    message = refused([good, bad, good, bad], needs=["label"])
    assert message.startswith("train.csv:3: 2 of 4 rows cannot be used; the first: ")
    assert reason in message
    assert message.endswith("task.data.bad_rows=skip")
    reader, examples = read([good, bad, good, bad], needs=["label"], bad_rows="skip")
    assert (reader.rows, reader.skipped, len(examples)) == (4, 2, 2)


def test_blank_prompts_and_passages():
    task = Labelled(PromptOptions(prompt="{% if text %}{{ text | trim | passage }}{% endif %}"))
    assert "the prompt is blank" in refused([{"text": "a"}, {"text": "", "x": 1}], task=task)
    task = Labelled(PromptOptions(prompt="Q: {{ text | default('') | passage }}"))
    assert "the passage is blank" in refused([{"text": "a"}, {"text": " ", "x": 1}], task=task)


def test_a_missing_column_is_an_error_even_when_skipping():
    message = refused([{"txt": "a"}], bad_rows="skip")
    assert message == "train.csv:2: there is no column 'text'; the columns are 'txt'; did you mean 'txt'?"


def test_a_misspelt_answer_column_is_named():
    message = refused([{"text": "a", "lable": 1}], needs=["label"])
    assert "there is no label, since there is no column 'label'; the columns are 'text', 'lable'" in message
    assert "did you mean 'lable'?" in message


def test_rows_to_predict_need_no_answer():
    _, (example,) = read([{"text": "a"}])
    assert example.label is None


def test_examples_of_several_rows_get_an_id_from_their_content():
    class Pairs(Labelled):
        def examples(self, rows):
            texts = [row["text"] for row in rows]
            for first, second in zip(texts[::2], texts[1::2], strict=True):
                yield Example(first + second)

    values = [{"text": text} for text in ("a", "b", "c", "d", "a", "b")]
    _, examples = read(values, task=Pairs())
    assert len({example.id for example in examples}) == 3
    assert examples[2].id == f"{examples[0].id}-2"
    assert all(example.input_digest for example in examples)


def test_what_is_blank():
    assert all(is_blank(value) for value in (None, "", " \t\n", [], {}, float("nan")))
    assert not any(is_blank(value) for value in (0, False, 0.0, "x", [None], b"", {"a": None}))


@pytest.mark.parametrize("key", ["id", "group"])
def test_ids_and_groups_are_text_too(key):
    def named(value):
        _, (example,) = read([{"text": "a", "key": value}], **{key: "key"})
        return getattr(example, key)

    assert [named(value) for value in ("a", 7, b"caf\xc3\xa9")] == ["a", "7", "café"]
    with pytest.raises(DataError, match=r"the column 'key' is a list, \['a'\], expected text or a number"):
        named(["a"])
