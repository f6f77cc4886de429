"""Rows and the task contract."""

from __future__ import annotations

import pytest

from gpttasks.data.rows import Row
from gpttasks.errors import DataError, PluginError
from gpttasks.example import Example
from gpttasks.hashing import content_digest
from gpttasks.tasks.task import Task, placed_examples


class Echo(Task):
    name = "echo"

    def example(self, row):
        return Example(row["text"])


def rows(*texts):
    return [Row({"text": text}, file="/data/train.csv", line=number) for number, text in enumerate(texts, 2)]


def test_row_place_and_digest():
    row = Row({"a": 1, "b": [b"x"]}, file="/data/train.csv", line=17)
    assert row.place == "train.csv:17"
    assert row.digest == content_digest({"b": [b"x"], "a": 1})
    assert Row({}, place="row 3 of test").place == "row 3 of test"
    assert str(row.problem("is wrong")) == "/data/train.csv:17: is wrong"
    assert str(Row({}, place="row 3 of test").problem("is wrong")) == "row 3 of test: is wrong"


def test_a_missing_column_names_the_known_ones():
    with pytest.raises(
        DataError, match=r"train\.csv:17: there is no column 'lable'; .*'text', 'label'; did you mean 'label'"
    ):
        Row({"text": "", "label": 1}, file="train.csv", line=17)["lable"]
    assert Row({"a": 1}).get("b") is None


def test_default_examples_fill_in_what_the_row_knows():
    (row,) = rows("hello")
    row.id, row.group = "r1", "doc"
    (example,) = Echo().examples([row])
    assert (example.id, example.group, example.input_digest) == ("r1", "doc", row.digest)


def test_what_the_task_says_itself_is_kept():
    class Own(Task):
        name = "own"

        def example(self, row):
            return Example(row["text"], id="mine", group="my group", input_digest="abc")

    (row,) = rows("hello")
    row.id, row.group = "r1", "doc"
    (example,) = Own().examples([row])
    assert (example.id, example.group, example.input_digest) == ("mine", "my group", "abc")


def test_examples_may_join_rows_and_stand_at_the_last_one():
    class Pairs(Task):
        name = "pairs"

        def examples(self, rows):
            rows = iter(rows)
            for first, second in zip(rows, rows, strict=False):
                yield Example(first["text"] + second["text"])

    found = list(placed_examples(Pairs(), rows("a", "b", "c", "d")))
    assert [(row.line, example.prompt[0].text) for row, example in found] == [(3, "ab"), (5, "cd")]


class Broken(Task):
    name = "broken"

    def example(self, row):
        return Example(row["text"]) if row["text"] == "a" else 1 / 0


class NotAnExample(Task):
    name = "wrong"

    def example(self, row):
        return row["text"]


class NumberedIds(Task):
    name = "numbered"

    def example(self, row):
        return Example(row["text"], id=3)


class Nothing(Task):
    name = "nothing"

    def examples(self, rows):
        return None


class Empty(Task):
    name = "empty"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Broken, r"train\.csv:3: the task 'broken' \(test_task\) failed: ZeroDivisionError: division by zero"),
        (NotAnExample, r"train\.csv:2: .*example\(\) returned str, expected an Example"),
        (NumberedIds, r"train\.csv:2: .*expected an Example whose id is a string"),
        (Nothing, r"before the first row: .*'nothing'"),
        (Empty, r"train\.csv:2: .*Empty has neither example\(\) nor examples\(\)"),
    ],
)
def test_a_task_that_fails_is_named_with_its_row(task, message):
    with pytest.raises(PluginError, match=message):
        list(placed_examples(task(), rows("a", "b")))


def test_a_data_error_of_the_task_passes_as_it_is():
    class Picky(Task):
        name = "picky"

        def example(self, row):
            raise DataError(row.problem("not this one"))

    with pytest.raises(DataError, match=r"train\.csv:2: not this one"):
        list(placed_examples(Picky(), rows("a")))
