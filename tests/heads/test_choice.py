"""``choice``: what it asks, how it compares, what it trains on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import DataError
from gpttasks.example import Example, as_prompt
from gpttasks.heads.choice import Choice, ChoiceOptions, softmax
from gpttasks.item import rows_of_items, target_starts
from gpttasks.requests import LogLikelihood, LogLikelihoodReply, near_tie

EXAMPLE = Example("Is it good?\nAnswer:", choices=("yes", "não", "perhaps so"), label=1, id="e1")


def reply(logprob, tokens=1):
    return LogLikelihoodReply(logprob, tokens, greedy=False)


def answer(normalisation, replies, example=EXAMPLE):
    return Choice(ChoiceOptions(normalisation=normalisation)).answer(example, replies)


@pytest.mark.parametrize(
    ("prompt", "separator", "continuation"),
    [
        ("Answer:", " ", " yes"),
        ("Answer: ", " ", "yes"),
        ("Answer:\n", " ", "yes"),
        ("", " ", "yes"),
        ("Answer:", "\n", "\nyes"),
        ("Answer:", "", "yes"),
    ],
)
def test_requests(prompt, separator, continuation):
    head = Choice(ChoiceOptions(separator=separator))
    (request,) = head.requests(Example(prompt, choices=("yes",)))
    assert request == LogLikelihood(as_prompt(prompt), continuation, (continuation,))


def test_unconditional_asks_for_the_options_alone_too():
    head = Choice(ChoiceOptions(normalisation="unconditional"))
    options = (" yes", " não", " perhaps so")
    assert head.requests(EXAMPLE) == [
        *(LogLikelihood(EXAMPLE.prompt, option, options) for option in options),
        *(LogLikelihood(EXAMPLE.prompt, option, options, without_prompt=True) for option in options),
    ]


REPLIES = [reply(-2.0, 1), reply(-3.0, 2), reply(-4.5, 3)]


@pytest.mark.parametrize(
    ("normalisation", "replies", "values"),
    [
        ("none", REPLIES, [-2.0, -3.0, -4.5]),
        ("tokens", REPLIES, [-2.0, -1.5, -1.5]),
        ("bytes", REPLIES, [-2.0 / 3, -3.0 / 4, -4.5 / 10]),
        ("unconditional", [*REPLIES, reply(-1.0), reply(-6.0), reply(-4.0)], [-1.0, 3.0, -0.5]),
    ],
)
def test_normalisations_by_hand(normalisation, replies, values):
    given = answer(normalisation, replies)
    equal = [index for index, value in enumerate(values) if value == max(values)]
    best = given.value
    assert best in equal
    assert given.detail["tie"] is (len(equal) > 1)
    assert given.text == EXAMPLE.choices[best]
    weights = [math.exp(value) for value in values]
    assert given.scores == pytest.approx([weight / sum(weights) for weight in weights])
    assert given.detail["logprobs"] == [-2.0, -3.0, -4.5]


@pytest.mark.parametrize(("second", "tied"), [(-2.0, True), (-2.00019, True), (-2.00021, False), (-9.0, False)])
def test_near_ties_are_flagged(second, tied):
    given = answer("none", [reply(-2.0), reply(second), reply(-50.0)])
    assert given.detail["near_tie"] is tied
    assert given.value == 0 or given.detail["tie"]


@pytest.mark.parametrize(("second", "tie"), [(-2.0, True), (-2.00004, True), (-2.00006, False)])
def test_what_a_tie_is(second, tie):
    given = answer("none", [reply(-2.0), reply(second), reply(-50.0)])
    assert given.detail["tie"] is tie
    assert given.value in ((0, 1) if tie else (0,))


def tied(id, seed=1, choices=("red", "green", "blue", "grey")):
    head = Choice()
    head.seed = seed
    return head.answer(Example("Which?", choices=choices, id=id), [reply(-3.0)] * len(choices))


def test_ties_fall_on_every_place_alike():
    counts = [0] * 4
    for number in range(2000):
        counts[tied(f"e{number}").value] += 1
    assert all(abs(count - 500) < 100 for count in counts)  # more than 5 standard deviations


def test_a_tie_depends_on_seed_and_example_but_not_on_the_order_of_options():
    ids = [f"e{number}" for number in range(50)]
    forwards = [tied(id).text for id in ids]
    assert [tied(id, choices=("grey", "blue", "green", "red")).text for id in ids] == forwards
    assert [tied(id).text for id in ids] == forwards
    assert [tied(id, seed=2).text for id in ids] != forwards
    assert len(set(forwards)) == 4


def test_one_option_is_no_tie():
    assert tied("e1", choices=("red",)).detail["tie"] is False
    assert not near_tie([-1.0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_softmax(values):
    weights = softmax(values)
    assert math.fsum(weights) == pytest.approx(1)
    for left, right in zip(values, weights, strict=True):
        assert right == pytest.approx(math.exp(max(-745.0, left - max(values))) * max(weights), abs=1e-12)


@pytest.fixture
def bound(tiny_gpt2_folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    head = Choice()
    head.bind(backbone, EXAMPLE)
    return head


def test_trains_on_the_text_of_the_right_choice(bound):
    tokenizer = bound.backbone.tokenizer
    (item,) = bound.items(EXAMPLE)
    (sequence,) = item.rows
    assert list(sequence.ids) == tokenizer.inner("Is it good?\nAnswer: não")["input_ids"]
    assert tokenizer.decode(sequence.ids[sequence.start :]) == " não"
    assert item.counts == {"choice": len(sequence.ids) - sequence.start}
    assert item.label == 1


def test_loss_is_the_negative_log_likelihood_that_is_scored(bound):
    from gpttasks.engine.plain import LocalEngine

    examples = [EXAMPLE, Example("Hm.", choices=EXAMPLE.choices, label=2)]
    items = [item for example in examples for item in bound.items(example)]
    outputs = bound.backbone.forward([sequence.ids for sequence in rows_of_items(items)])
    assert target_starts(items) == [item.rows[0].start for item in items]
    engine = LocalEngine(bound.backbone)
    gold = [engine.answer([bound.requests(example)[example.label]])[0].logprob for example in examples]
    assert bound.loss(outputs, items)["choice"].item() == pytest.approx(-sum(gold), abs=1e-4)


def test_an_example_without_a_label_is_not_trained_on(bound):
    with pytest.raises(DataError, match="example e2 has no label"):
        list(bound.items(Example("A", choices=("a", "b"), id="e2")))
