"""Log-probabilities from parts of the vocabulary, against a softmax over all of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.engine import target_logprobs as module
from gpttasks.engine.target_logprobs import target_logprobs


class Capped(torch.nn.Linear):
    """A head that is not a plain layer: a part of its weights does not give a part of its logits."""

    def forward(self, states):
        return 3 * torch.tanh(super().forward(states) / 3)


@given(
    kind=st.sampled_from([torch.nn.Linear, Capped]),
    vocabulary=st.integers(1, 30),
    targets=st.lists(st.integers(0, 29), min_size=1, max_size=12),
    columns=st.integers(1, 40),
    rows=st.integers(1, 13),
    bias=st.booleans(),
    states=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_equal_to_a_softmax(kind, vocabulary, targets, columns, rows, bias, states, seed):
    torch.manual_seed(seed)
    head = kind(4, vocabulary, bias=bias)
    states = 9 * torch.randn(states, 4)
    places = torch.randint(len(states), (len(targets),)).tolist()
    targets = [target % vocabulary for target in targets]
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COLUMNS", columns)
        patch.setattr(module, "ROWS", rows)
        logprobs, greedy = target_logprobs(head, states, places, targets)
        logits = head(states[places])
    wanted = torch.log_softmax(logits.double(), -1)[torch.arange(len(targets)), targets]
    assert logprobs.dtype == torch.float64
    torch.testing.assert_close(logprobs, wanted, atol=2e-5, rtol=1e-6)
    assert greedy.tolist() == [bool(row[target] >= row.max()) for row, target in zip(logits, targets, strict=True)]


def test_a_state_with_many_targets_goes_through_the_head_once():
    class Counted(torch.nn.Linear):
        states = 0

        def forward(self, states):
            self.states += len(states)
            return super().forward(states)

    head = Counted(4, 30)
    with torch.inference_mode():
        target_logprobs(head, torch.randn(50, 4), [7, 3] * 100, list(range(25)) * 8)
    assert head.states == 2


@pytest.mark.parametrize("columns", [2, 5])
def test_equal_logits_are_both_the_likeliest(monkeypatch, columns):
    monkeypatch.setattr(module, "COLUMNS", columns)
    head = torch.nn.Linear(1, 5, bias=False)
    head.weight.data[:] = torch.tensor([[1.0], [2.0], [0.5], [2.0], [1.5]])
    with torch.inference_mode():
        _, greedy = target_logprobs(head, torch.ones(5, 1), range(5), range(5))
    assert greedy.tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("columns", [2, 5])
@pytest.mark.parametrize("place", range(5))
def test_nan_among_the_logits_is_not_lost(monkeypatch, columns, place):
    monkeypatch.setattr(module, "COLUMNS", columns)
    head = torch.nn.Linear(1, 5, bias=False)
    head.weight.data[place] = float("nan")
    with torch.inference_mode():
        logprobs, _ = target_logprobs(head, torch.ones(1, 1), [0], [0])
    assert logprobs.isnan().all()
