"""Inputs in several roles: what counts as the same input, how often it occurs, and when it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.errors import DataError
from gpttasks.example import Example
from gpttasks.tasks.overlap import duplicates, overlaps, refuse_overlap, refused_overlaps
from gpttasks.tasks.splits import ExampleSet


def made(role, prompts):
    examples = tuple(Example(prompt, target="x", id=f"{role}{n}") for n, prompt in enumerate(prompts))
    return ExampleSet(role, role, examples, len(examples), 0, role, "")


def sets_of(**prompts):
    return {role: made(role, texts) for role, texts in prompts.items()}


TEXTS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8)


@given(TEXTS, TEXTS)
def test_counts_are_those_of_a_comparison_of_all_pairs(scored, trained):
    (found,) = overlaps(sets_of(train=trained, test=scored), "test")
    assert (found.examples, found.of) == (sum(any(a == b for b in trained) for a in scored), len(scored))
    assert (found.others, found.of_others) == (sum(any(a == b for b in scored) for a in trained), len(trained))
    pairs = [(f"test{i}", f"train{j}") for i, a in enumerate(scored) for j, b in enumerate(trained) if a == b]
    assert found.first == (pairs[0] if pairs else None)
    refused = bool(set(scored) & set(trained)) and (set(scored) <= set(trained) or set(trained) <= set(scored))
    assert list(refused_overlaps([found], "test")) == ([found] if refused else [])


def test_which_sets_are_compared():
    sets = sets_of(train="ab", validation="bc", pool="de", test="cd")
    found = {(one.role, one.other): one.examples for one in overlaps(sets, "test")}
    assert found == {
        ("test", "train"): 0,
        ("test", "validation"): 1,
        ("test", "pool"): 1,
        ("validation", "train"): 1,
    }
    assert overlaps(sets_of(test="ab"), "test") == ()


@pytest.mark.parametrize(
    ("trained", "scored", "message"),
    [
        ("ab", "ba", "test and train have the same inputs, in 2 and 2 examples"),
        ("abc", "ab", "the inputs of all 2 examples of test occur in train too"),
        ("a", "ab", "the inputs of all 1 examples of train occur in test too"),
    ],
)
def test_whole_splits_are_refused(trained, scored, message):
    found = overlaps(sets_of(train=trained, test=scored), "test")
    with pytest.raises(DataError) as caught:
        refuse_overlap(found, "test")
    assert message in str(caught.value)
    assert "task.data.overlap=allow" in str(caught.value)


def test_validation_examples_that_are_trained_on_are_not_refused():
    found = overlaps(sets_of(train="ab", validation="ab", test="c"), "test")
    assert [str(one) for one in found if one.examples] == [
        "2 of 2 inputs of validation occur in train too; the first: validation0 (train0 in train)"
    ]
    refuse_overlap(found, "test")


def test_a_recipe_that_scores_what_it_trains_on_says_so_itself():
    sets = {**sets_of(train="abc"), "scored": made("train", "ab")}
    (found,) = overlaps(sets, "train")
    assert found.same_split
    assert (found.examples, found.of) == (2, 2)
    refuse_overlap([found], "train")


def test_duplicates_within_a_set():
    examples = made("train", "abab").examples
    found = duplicates(examples)
    assert found is not None
    assert (found.examples, found.exact, found.first) == (2, 2, ("train2", "train0"))
    found = duplicates([*examples[:3], Example("b", target="another answer", id="4")])
    assert found is not None
    assert (found.examples, found.exact) == (2, 1)
    assert duplicates(made("train", "abc").examples) is None
