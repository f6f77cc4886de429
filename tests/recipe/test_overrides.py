"""KEY=VALUE from the command line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.errors import RecipeError
from gpttasks.recipe.document import Mark, parse_document
from gpttasks.recipe.overrides import apply_overrides

TEXT = """\
backbone: tiny
task: {use: sort, data: {path: data.csv}, labels: {0: good, 1: bad}}
adapt: lora
train: null
score: {limit: 5, metrics: [accuracy, {use: f1, average: macro}]}
"""
BASE = Path("/base")


def document(text=TEXT):
    return parse_document(text, "r.yaml", BASE)


def overridden(*overrides):
    return apply_overrides(document(), overrides).data


def refusals(*overrides):
    with pytest.raises(RecipeError) as caught:
        apply_overrides(document(), overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=3", ["seed"], 3),
        ("score.limit=null", ["score", "limit"], None),
        ("score.metrics=[accuracy]", ["score", "metrics"], ["accuracy"]),
        ("score.metrics.0=f1", ["score", "metrics", 0], "f1"),
        ("score.metrics.1.average=weighted", ["score", "metrics", 1], {"use": "f1", "average": "weighted"}),
        ("score.metrics.0.as=key", ["score", "metrics", 0], {"use": "accuracy", "as": "key"}),
        ("task.data={path: x, id: y}", ["task", "data"], {"path": "x", "id": "y"}),
        ("task.data.path=-", ["task", "data", "path"], "-"),
        ("task.labels.1=worse", ["task", "labels"], {0: "good", 1: "worse"}),
        ("task.labels.2=ugly", ["task", "labels"], {0: "good", 1: "bad", "2": "ugly"}),
        ("train.validate.every=10", ["train"], {"validate": {"every": 10}}),
        ("adapt.rank=4", ["adapt"], {"use": "lora", "rank": 4}),
        ("backbone=openai:gpt-4@http://localhost:8000/v1", ["backbone"], "openai:gpt-4@http://localhost:8000/v1"),
        ('task.prompt="{{ text }}\\nx=y"', ["task", "prompt"], "{{ text }}\nx=y"),
        ("name=1e-4", ["name"], 1e-4),
        ("name=no", ["name"], "no"),
        ("name=''", ["name"], ""),
    ],
)
def test_values_are_yaml_and_keys_are_dotted(override, path, value):
    data = overridden(override)
    for part in path:
        data = data[part]
    assert data == value


def test_they_apply_in_order_and_leave_the_document_alone():
    original = document()
    changed = apply_overrides(
        original, ["adapt={use: full}", "adapt.rank=3", "score.metrics=[a, b]", "score.metrics.1=c"]
    )
    assert changed.data["adapt"] == {"use": "full", "rank": 3}
    assert changed.data["score"]["metrics"] == ["a", "c"]
    assert original == document()


def test_places_and_bases_of_what_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = apply_overrides(document(), ["task.data={path: x}", "adapt.rank=4", "train.epochs=1"])
    given_there = Mark("command line")
    for location in [
        ("task", "data"),
        ("task", "data", "path"),
        ("adapt", "rank"),
        ("train",),
        ("train", "epochs"),
    ]:
        place = changed.places[location]
        assert (place.key, place.value, place.base, place.span) == (given_there, given_there, tmp_path, None)
    for location in [("task", "use"), ("adapt",), ("adapt", "use"), ("backbone",)]:
        assert changed.places[location].base == BASE
        assert changed.places[location].value.file == "r.yaml"
    assert changed.places["adapt", "use"] == document().places["adapt",]


def test_places_below_a_replaced_value_are_forgotten():
    changed = apply_overrides(document(), ["score.metrics=[f1]"])
    assert [location for location in changed.places if location[:2] == ("score", "metrics")] == [
        ("score", "metrics"),
        ("score", "metrics", 0),
    ]


@given(st.integers(), st.floats(allow_nan=False), st.booleans())
def test_scalars_are_what_yaml_says(integer, number, flag):
    data = overridden(f"a={integer}", f"b={str(flag).lower()}", f"c={number!r}".replace("inf", ".inf"))
    assert (data["a"], data["b"], data["c"]) == (integer, flag, number)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("b", "got 'b', expected KEY=VALUE; write KEY=VALUE, such as train.epochs=2 or score.limit=null"),
        ("=3", "got '=3', expected KEY=VALUE; write KEY=VALUE, such as train.epochs=2 or score.limit=null"),
        ("a..b=3", "got 'a..b=3', expected KEY=VALUE; write KEY=VALUE, such as train.epochs=2 or score.limit=null"),
        ("a b =3", "got 'a b =3', expected KEY=VALUE; write KEY=VALUE, such as train.epochs=2 or score.limit=null"),
        ("seed=", "seed: there is no value after =; write seed=null for no value, seed='\"\"' for an empty text"),
        ("seed=# 3", "seed: cannot read '# 3' as YAML: the value is empty"),
        (
            "seed=[1",
            "seed: cannot read '[1' as YAML: "
            "while parsing a flow sequence: expected ',' or ']', but got '<stream end>'",
        ),
        ("seed={a: 1, a: 2}", "seed: cannot read '{a: 1, a: 2}' as YAML: duplicate key"),
        (
            "task.prompt={{ x }}",
            "task.prompt: cannot read '{{ x }}' as YAML: a key must be a word or a number; "
            "text that begins with {{ needs quotes around it",
        ),
        ("score.limit.x=3", "score.limit.x: score.limit is 5, which has no keys below it"),
        ("task.use.x=3", "task.use.x: task.use is 'sort', which has no keys below it"),
        (
            "score.metrics.2=f1",
            "score.metrics.2: got '2' as an entry of the list score.metrics, expected a number from 0 to 1",
        ),
        (
            "score.metrics.f1=3",
            "score.metrics.f1: got 'f1' as an entry of the list score.metrics, expected a number from 0 to 1",
        ),
    ],
)
def test_what_is_wrong_is_told(override, message):
    assert refusals(override) == [f"command line: {message}"]


def test_all_that_is_wrong_is_told_at_once():
    assert refusals("seed=1", "b", "seed=2", "name=[") == [
        "command line: got 'b', expected KEY=VALUE; write KEY=VALUE, such as train.epochs=2 or score.limit=null",
        "command line: seed: appears twice on the command line",
        "command line: name: cannot read '[' as YAML: while parsing a flow node: "
        "expected the node content, but found '<stream end>'",
    ]
