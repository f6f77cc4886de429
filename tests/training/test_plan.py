"""Which items make up which step, and at which learning rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.item import Item
from gpttasks.tokens.rows import TokenRow
from gpttasks.training.plan import PLANNED, Plan, different_items, learning_rate, micro_batches

lengths_of_items = st.lists(st.integers(1, 30), min_size=1, max_size=40)
budgets = st.integers(1, 100)
seeds = st.integers(0, 5)


def plan_steps(lengths, budget, seed, *, epochs=None, steps=None):
    """All steps of a plan, in the way the trainer takes them."""
    plan = Plan(len(lengths), budget, seed, epochs=epochs, steps=steps)
    made, seen = [], 0
    while plan.share(len(made), seen) < 1:
        made.append(plan.next_step(seen, lengths.__getitem__))
        seen += len(made[-1])
    return made


def flat(plan):
    return [index for step in plan for index in step]


@given(lengths=lengths_of_items, budget=budgets, seed=seeds, epochs=st.integers(1, 3))
def test_every_item_once_an_epoch(lengths, budget, seed, epochs):
    plan = plan_steps(lengths, budget, seed, epochs=epochs, steps=None)
    order = flat(plan)
    for epoch in range(epochs):
        part = order[epoch * len(lengths) : (epoch + 1) * len(lengths)]
        assert sorted(part) == list(range(len(lengths)))
    assert len(order) == epochs * len(lengths)


@given(lengths=lengths_of_items, budget=budgets, seed=seeds)
def test_steps_are_as_small_as_the_budget_allows(lengths, budget, seed):
    steps = plan_steps(lengths, budget, seed, epochs=1)
    for step in steps:
        tokens = [lengths[index] for index in step]
        assert sum(tokens[:-1]) < budget
    assert all(sum(lengths[index] for index in step) >= budget for step in steps[:-1])


@given(length=st.integers(1, 30), items=st.integers(1, 40), budget=budgets, seed=seeds, epochs=st.integers(1, 3))
def test_the_estimate_for_items_of_equal_length_is_close(length, items, budget, seed, epochs):
    steps, tokens = Plan(items, budget, seed, epochs=epochs).estimate([length])
    done = len(plan_steps([length] * items, budget, seed, epochs=epochs))
    assert tokens == epochs * items * length
    assert steps == done


def test_the_estimate_for_a_number_of_steps_has_that_number():
    assert Plan(80, 64, 0, steps=5).estimate([8]) == (5, 5 * 64)
    assert Plan(2, 64, 0, steps=5).estimate([8, 4]) == (5, 5 * 12), "a step has at most all items"


@given(lengths=st.lists(st.integers(1, 30), min_size=8, max_size=40), epochs=st.integers(1, 3))
def test_the_estimate_for_more_items_than_are_planned_is_close(lengths, epochs):
    items = PLANNED * 3
    steps, tokens = Plan(items, 300, 1, epochs=epochs).estimate(lengths)
    mean = sum(lengths) / len(lengths)
    assert tokens == pytest.approx(epochs * items * mean, rel=0.01)
    assert tokens / steps == pytest.approx(300 + mean / 2, rel=0.1), "a step ends with the item that reaches it"


@given(lengths=lengths_of_items, budget=budgets, seed=seeds, epochs=st.integers(1, 40).map(lambda tenths: tenths / 10))
def test_broken_epochs(lengths, budget, seed, epochs):
    order = flat(plan_steps(lengths, budget, seed, epochs=epochs, steps=None))
    tenths = round(epochs * 10)
    assert len(order) == tenths // 10 * len(lengths) + math.ceil(tenths % 10 * len(lengths) / 10)
    whole = flat(plan_steps(lengths, budget, seed, epochs=math.ceil(epochs), steps=None))
    assert order == whole[: len(order)], "a broken epoch is the beginning of a whole one"


@given(lengths=lengths_of_items, budget=budgets, seed=seeds, steps=st.integers(1, 60))
def test_a_number_of_steps(lengths, budget, seed, steps):
    plan = plan_steps(lengths, budget, seed, epochs=None, steps=steps)
    assert len(plan) == steps
    longer = plan_steps(lengths, budget, seed, epochs=None, steps=steps + 3)
    assert longer[:steps] == plan, "more steps begin alike"
    whole_epochs = len(flat(plan)) // len(lengths)
    counts = [flat(plan).count(index) for index in range(len(lengths))]
    assert set(counts) <= {whole_epochs, whole_epochs + 1}


def test_order_follows_seed_and_epoch():
    lengths = [1] * 50
    both = plan_steps(lengths, 10, seed=1, epochs=2)
    assert both[:5] != both[5:]
    assert both == plan_steps(lengths, 10, seed=1, epochs=2)
    assert both != plan_steps(lengths, 10, seed=2, epochs=2)


@pytest.mark.parametrize(
    ("lengths", "epochs", "steps"), [([], 1.0, None), ([], None, 5), ([1], None, None), ([1], 1.0, 5)]
)
def test_nothing_to_plan(lengths, epochs, steps):
    with pytest.raises(ValueError, match="expected items, and either epochs or steps"):
        Plan(len(lengths), 10, 1, epochs=epochs, steps=steps)


@given(lengths=lengths_of_items, budget=budgets, seed=seeds)
def test_a_step_asks_for_no_tokens_but_its_own(lengths, budget, seed):
    asked = []

    def tokens_of(index):
        asked.append(index)
        return lengths[index]

    assert Plan(len(lengths), budget, seed, epochs=1).next_step(0, tokens_of) == asked


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20), budget=budgets, steps=st.integers(1, 60))
def test_different_items_are_those_of_the_steps(lengths, budget, steps):
    plan = Plan(len(lengths), budget, 3, steps=steps)
    used, seen = set(), 0
    for _ in range(steps):
        step = plan.next_step(seen, lengths.__getitem__)
        used.update(step)
        seen += len(step)
    assert set(different_items(len(lengths), 3, seen)) == used


items = st.lists(
    st.lists(st.integers(1, 20), min_size=1, max_size=3).map(
        lambda lengths: Item(tuple(TokenRow([0] * length, 1) for length in lengths), {"loss": 1})
    ),
    max_size=12,
)


@given(items=items, budget=budgets)
def test_micro_batches_keep_items_whole_within_the_budget(items, budget):
    batches = list(micro_batches(items, budget))
    assert sorted(map(id, (item for batch in batches for item in batch))) == sorted(map(id, items))
    for batch in batches:
        padded = [len(item.rows) * max(len(sequence.ids) for sequence in item.rows) for item in batch]
        assert len(batch) == 1 or sum(padded) <= budget


def rates_of(total, **options):
    """The rates of all steps, with equal shares of the training."""
    rates, warmed = [], 0.0
    for step in range(total):
        rate, warmed = learning_rate(step, step / total, (step + 1) / total, warmed, **options)
        rates.append(rate)
    return rates


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1, 1, 1, 1, 1]),
        ("constant", 2, [0.5, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", 0.0, [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("linear", 0.5, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ("linear", 4, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", 4, [0.25, 0.5, 0.75, 1, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("cosine", 100, [step / 100 for step in range(1, 9)]),
    ],
)
def test_learning_rates_by_hand(schedule, warmup, expected):
    rates = rates_of(8, peak=3e-4, warmup=warmup, schedule=schedule)
    assert rates == pytest.approx([3e-4 * share for share in expected])


@given(
    total=st.integers(1, 200),
    warmup=st.floats(0, 0.99) | st.integers(1, 300).map(float),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
)
def test_learning_rates_rise_then_fall(total, warmup, schedule):
    rates = rates_of(total, peak=1.0, warmup=warmup, schedule=schedule)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 < rate <= 1 for rate in rates)
