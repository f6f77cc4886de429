"""Batches under a token budget."""

from hypothesis import given
from hypothesis import strategies as st

from gpttasks.engine.batches import batches_by_tokens, default_tokens


@given(lengths=st.lists(st.integers(1, 50)), budget=st.integers(1, 200))
def test_every_row_once_within_the_budget(lengths, budget):
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    in_order = [lengths[index] for batch in batches for index in batch]
    assert in_order == sorted(lengths, reverse=True), "longest first"
    for batch in batches[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > budget, "no batch could have taken one row more"


def test_default_budget_is_one_of_the_device():
    assert default_tokens("cuda:1") == default_tokens("cuda") > default_tokens("cpu")
    assert default_tokens("mps") > 0
