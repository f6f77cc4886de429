"""One bad task per rule: the kit names exactly that fault."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from found_rules import COUNTER
from found_rules import rules as rules_of

from gpttasks.example import Example
from gpttasks.tasks.task import Task
from gpttasks.testing import check_task

ROWS = [{"text": "I like it.", "label": 1}, {"text": "I do not.", "label": 0}, {"text": "It is fine.", "label": 1}]


class Plain(Task):
    name = "plain"
    fields = frozenset({"prompt", "choices", "label"})
    columns = frozenset({"text"})
    answer_columns = frozenset({"label"})

    def example(self, row):
        return Example([row["text"], "\nIt is"], choices=("bad", "good"), label=row.get("label"))


class RandomPrompt(Plain):
    def example(self, row):
        return Example(f"{next(COUNTER)}", choices=("bad", "good"), label=row.get("label"))


class ByPlace(Plain):
    def example(self, row):
        return Example([row.place, row["text"]], choices=("bad", "good"), label=row.get("label"))


class Leaking(Plain):
    def example(self, row):
        return Example(f"{row['text']} {row.get('label')}", choices=("bad", "good"), label=row.get("label"))


class LeakingWithoutColumns(Plain):
    answer_columns = frozenset()

    def example(self, row):
        words = ("bad", "good")
        return Example(f"{row['text']} {words[row['label']]}", choices=words, label=row["label"])


class FewFields(Plain):
    fields = frozenset({"prompt", "choices", "label", "target"})


class WrongLabel(Plain):
    def example(self, row):
        return Example(row["text"], choices=("bad", "good"), label=row.get("label", 0) + 1)


class WrongTarget(Plain):
    fields = None

    def example(self, row):
        return Example(row["text"], target="this", references=("that",))


class Fragile(Plain):
    def example(self, row):
        row["text"].encode("latin-1")
        return super().example(row)


class Unreadable(Plain):
    def examples(self, rows):
        return iter(())


class Online(Plain):
    def example(self, row):
        with suppress(OSError):
            socket.getaddrinfo("example.org", 80)
        return super().example(row)


def test_a_good_task_has_no_fault():
    assert check_task(Plain(), ROWS) == []


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (RandomPrompt, "deterministic"),
        (ByPlace, "order-does-not-matter"),
        (Leaking, "label-not-in-prompt"),
        (LeakingWithoutColumns, "label-not-in-prompt"),
        (FewFields, "fields-as-declared"),
        (WrongLabel, "labels-are-indices"),
        (WrongTarget, "gold-scores-best"),
        (Fragile, "hard-texts"),
        (Unreadable, "reads-its-rows"),
        (Online, "no-network"),
    ],
)
def test_bad_tasks(task, rule):
    assert rule in rules_of(check_task(task(), ROWS))


class Undeclared(Plain):
    """Its author forgot answer_columns, and the prompt holds the label."""

    answer_columns = frozenset()

    def example(self, row):
        return Example(f"{row['text']} ({row['label']})", choices=("bad", "good"), label=row["label"])


class NeedsTheAnswer(Plain):
    """Cannot read rows without right answers."""

    def example(self, row):
        return Example([row["text"], "\nIt is"], choices=("bad", "good"), label=int(row["label"]))


class ByFile(Plain):
    def example(self, row):
        return Example([row["text"], str(row.line)], choices=("bad", "good"), label=row.get("label"))


class OtherChoice(Plain):
    fields = None

    def example(self, row):
        return Example(row["text"], target="bad", choices=("bad", "good"), label=1)


class FragileLists(Plain):
    def example(self, row):
        row["words"][0].encode("latin-1")
        return super().example(row)


LISTS = [row | {"words": ["some", "words"]} for row in ROWS]
SAME = [row | {"label": 1} for row in ROWS]


@pytest.mark.parametrize(
    ("task", "rows", "rule"),
    [
        (Undeclared, ROWS, "label-not-in-prompt"),
        (ByFile, ROWS, "round-trip"),
        (NeedsTheAnswer, ROWS, "round-trip"),
        (OtherChoice, ROWS, "gold-scores-best"),
        (FragileLists, LISTS, "hard-texts"),
        (Plain, SAME, "answers-differ"),
    ],
)
def test_other_bad_tasks(task, rows, rule):
    assert rule in rules_of(check_task(task(), rows))


def test_the_fault_says_what_to_do():
    fault = check_task(Leaking(), ROWS)[0]
    assert str(fault) == (
        "task plain: label-not-in-prompt: got a different prompt with another right answer in ['label'], expected the "
        "same prompt; remove it from the prompt, and name the columns that hold it in answer_columns"
    )


def test_two_rows_are_needed():
    with pytest.raises(ValueError, match="task 'plain': got 1 rows, expected two or more"):
        check_task(Plain(), ROWS[:1])
