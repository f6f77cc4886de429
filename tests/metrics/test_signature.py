"""Signatures parse back, and a measure changes with what is measured and with nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.errors import UserError
from gpttasks.example import Example
from gpttasks.metrics.classification import F1
from gpttasks.metrics.signature import examples_digest, format_signature, measure_of, parse_signature

TEXT = st.text() | st.text(alphabet="\\|:a\n")
EXAMPLES = (
    Example("one", choices=("a", "b"), label=0, id="1", input_digest="d1"),
    Example("two", choices=("a", "b"), label=1, id="2", input_digest="d2"),
    Example("three", references=["x", "y"], id="3", input_digest="d3"),
    Example("four", target="z", id="4", input_digest="d4"),
    Example("five", choices=("a", "b"), labels=(), target="", id="5", input_digest="d5"),
    Example("six", value=2.5, target="2.5", id="6", input_digest="d6"),
    Example("seven", structure={"tags": ["O"]}, id="7", input_digest="d7"),
)


@settings(deadline=None)
@given(st.dictionaries(TEXT, TEXT))
def test_a_signature_parses_back(fields):
    parsed = parse_signature(format_signature(fields))
    assert parsed == fields
    assert list(parsed) == list(fields)


@settings(deadline=None)
@given(st.dictionaries(TEXT, TEXT), st.dictionaries(TEXT, TEXT))
def test_different_fields_have_different_signatures(one, other):
    assert (format_signature(one) == format_signature(other)) == (list(one.items()) == list(other.items()))


def test_a_signature_reads_plainly():
    fields = {"task": "classification", "n": 25000, "limit": None, "chat": True, "model": "openai:m@http://x"}
    assert format_signature(fields) == "task:classification|n:25000|limit:null|chat:true|model:openai:m@http://x"


@pytest.mark.parametrize("broken", ["a", "a:b|", "|a:b", "a:b||c:d", "a:b\\", "a:b|c", "a:1|a:2"])
def test_what_is_no_signature_is_refused(broken):
    with pytest.raises(UserError, match="signature"):
        parse_signature(broken)


@settings(deadline=None)
@given(st.permutations(EXAMPLES))
def test_the_examples_digest_knows_no_order(examples):
    assert examples_digest(examples) == examples_digest(EXAMPLES)


def test_the_examples_digest_changes_with_what_is_scored_only():
    first, _, third, fourth, fifth, sixth, seventh = EXAMPLES

    def differs(old, **changes):
        others = [example for example in EXAMPLES if example is not old]
        return examples_digest([*others, replace(old, **changes)]) != examples_digest(EXAMPLES)

    assert differs(first, label=1)
    assert differs(first, id="8")
    assert differs(first, input_digest="d8")
    assert differs(third, references=("x",))
    assert differs(fourth, target="other")
    assert differs(fifth, labels=(1,))
    assert differs(fifth, labels=None)
    assert differs(sixth, value=3.5)
    assert differs(seventh, structure={"tags": ["B"]})
    assert examples_digest(EXAMPLES[:3]) != examples_digest(EXAMPLES)
    assert not differs(first, prompt="Another prompt: one")
    assert not differs(first, target="a")
    assert not differs(third, target="x")
    assert not differs(fifth, target="none")
    assert not differs(sixth, target="two and a half")


def test_a_measure_holds_its_keys_and_the_options_that_are_not_defaults():
    common = {
        "task": "classification",
        "examples": examples_digest(EXAMPLES),
        "n": len(EXAMPLES),
        "split": "test",
        "limit": None,
    }
    measure = parse_signature(measure_of(**common, metric=F1()))
    assert measure == {key: "null" if value is None else str(value) for key, value in common.items()} | {
        "metric": "f1",
        "version": "1",
        "interval": "bca",
    }
    assert measure_of(**common, metric=F1(F1.Options(average="macro"))) == measure_of(**common, metric=F1())
    binary = F1(F1.Options(average="binary", positive=0))
    assert parse_signature(measure_of(**common, metric=binary))["metric"] == 'f1(average="binary",positive=0)'


def test_the_measure_says_that_scored_inputs_were_seen_before():
    common = {"task": "t", "examples": "e", "n": 1, "split": "test", "limit": None, "metric": F1()}
    assert parse_signature(measure_of(**common, overlap=True))["overlap"] == "allow"
    assert "overlap" not in parse_signature(measure_of(**common))
