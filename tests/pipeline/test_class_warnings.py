"""Warnings about classes that cannot win."""

from __future__ import annotations

import pytest

from gpttasks import Answer, Example
from gpttasks.pipeline.class_warnings import length_warning, never_answered

CHOICES = ("World", "Sports", "Sci/Tech")


def examples(labels, choices=CHOICES):
    return [Example(id=str(index), prompt="x", choices=choices, label=label) for index, label in enumerate(labels)]


def answers(values, tokens=(1, 1, 3)):
    return [Answer(value, CHOICES[value], detail={"tokens": list(tokens)}) for value in values]


def test_choices_of_different_lengths_are_named():
    warning = length_warning(examples([0, 1]), answers([0, 1]))
    assert "different numbers of tokens ('World' 1, 'Sports' 1, 'Sci/Tech' 3)" in warning


def test_choices_of_equal_lengths_are_not():
    assert length_warning(examples([0, 1]), answers([0, 1], tokens=(2, 2, 2))) is None


def test_choices_that_differ_between_examples_are_not_classes():
    differing = [*examples([0]), *examples([0], choices=("a", "b", "c"))]
    assert length_warning(differing, answers([0, 0])) is None
    assert never_answered(differing * 20, answers([0, 0] * 20)) is None


@pytest.mark.parametrize("answer", [Answer("text", "text"), Answer(0, "World", detail={"tokens": 5})])
def test_other_answers_are_not_looked_at(answer):
    assert length_warning(examples([0]), [answer]) is None


def test_a_class_that_was_never_answered_is_named_with_its_count():
    labels = [0, 1, 2] * 6
    warning = never_answered(examples(labels), answers([0, 1, 0] * 6))
    assert warning == "never answered: 'Sci/Tech', right for 6 of 18 examples"


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ([0, 1, 2] * 6, [0, 1, 2] * 6),  # all were answered
        ([0, 1] * 9 + [2] * 4, [0, 1] * 9 + [0] * 4),  # too few examples of the class
        ([0, 1, 2, 2], [0, 1, 0, 0]),  # too few examples at all
    ],
)
def test_nothing_is_said_without_evidence(labels, values):
    assert never_answered(examples(labels), answers(values)) is None
