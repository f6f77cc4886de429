"""Examples: each field has one meaning and one type, and former fields are refused by name."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.example import Example, Part, renamed_field

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FILLED = {
    "prompt": "?",
    "target": "",
    "choices": ("a", "b"),
    "label": 0,
    "labels": (),
    "value": 0.0,
    "references": ("",),
    "answer_start": 0,
    "features": {"acoustic": (0.0, -1.5)},
    "contexts": ("one", [Part("two", "passage"), "?"]),
    "structure": {"words": ["a", "b"]},
    "group": "",
}


@pytest.mark.parametrize("name", FILLED)
def test_a_field_counts_as_filled_once_it_is_known(name):
    """Also if the value is 0, empty text, or empty labels."""
    assert Example(**{name: FILLED[name]}).fields == {name}
    assert Example().fields == frozenset()


def test_all_fields_survive_a_copy():
    example = Example(**FILLED)
    assert example.fields == set(FILLED)
    assert replace(example, id="other") == Example(**FILLED, id="other")
    assert copy.deepcopy(example) == example
    assert example.marked(id="other", group="", input_digest="") == replace(example, id="other")


@given(st.sets(st.integers(0, 50)), st.randoms())
def test_labels_are_kept_in_ascending_order(labels, random):
    shuffled = list(labels)
    random.shuffle(shuffled)
    assert Example(labels=shuffled).labels == tuple(sorted(labels))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("label", 2.5, "label: got 2.5, .*; for a number that regression predicts, use the field `value`"),
        ("label", True, "label: got True, expected an int"),
        ("label", "1", "label: got '1', expected an int"),
        ("label", -1, "label: got -1, expected 0 or more"),
        ("labels", [0.0, 1.0], "labels: got 0.0, expected an int"),
        ("labels", [1, 0, 1], r"labels: got \[0, 1, 1\], expected each index only once"),
        ("labels", [-1], "labels: got -1"),
        ("value", True, "value: got True, expected a finite number"),
        ("value", float("nan"), "value: got nan, expected a finite number"),
        ("value", float("inf"), "value: got inf"),
        ("value", "3", "value: got '3'"),
        ("answer_start", 3.0, "answer_start: got 3.0, expected an int"),
        ("answer_start", -1, "answer_start: got -1"),
        ("choices", "ab", "choices: got one string, 'ab', expected a list"),
        ("references", "ab", "references: got one string"),
        ("contexts", "ab", "contexts: got one string"),
        (
            "scores",
            {"labels": (1, 0)},
            "no field 'scores' any more: it is now `labels` .* `answer_start` .* `features`",
        ),
    ],
)
def test_values_of_the_wrong_type_are_refused_by_name(field, value, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Example("?", **{field: value})


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_structure_holds_any_json(structure):
    example = Example(structure=structure)
    assert example.structure == structure == json.loads(json.dumps(example.structure))


def test_structure_is_a_copy_with_lists_for_tuples():
    words = ["a", "b"]
    example = Example(structure={"words": words, "spans": ((0, 1), (2, 3))})
    words.append("c")
    assert example.structure == {"words": ["a", "b"], "spans": [[0, 1], [2, 3]]}


@pytest.mark.parametrize(
    ("structure", "place"),
    [
        ({"tags": [1, {2}]}, r"structure\['tags'\]\[1\]: got \{2\}"),
        ({"at": {"x": float("nan")}}, r"structure\['at'\]\['x'\]: got nan"),
        ({"at": {1: 2}}, r"structure\['at'\]: got \{1: 2\}"),
        ({"raw": b"x"}, r"structure\['raw'\]: got b'x', expected a JSON value"),
    ],
)
def test_structure_refuses_values_that_json_cannot_represent(structure, place):
    with pytest.raises(TypeError, match=place):
        Example(structure=structure)


def test_the_former_field_names_what_replaces_it():
    with pytest.raises(AttributeError, match="no field 'scores' any more: it is now `labels`"):
        Example("?").scores  # noqa: B018
    assert renamed_field({"prompt", "label"}) is None
