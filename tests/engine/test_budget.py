"""The token budget of batches: fixed, found by measuring, and halved when memory runs out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.engine import batches
from gpttasks.engine.batches import BATCHES_TIMED, TokenBudget
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.errors import RunFailed
from gpttasks.example import as_prompt
from gpttasks.requests import Generate, LogLikelihood, Rolling

OUT_OF_MEMORY = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: 12 bytes"


@given(lengths=st.lists(st.integers(1, 50)), budget=st.integers(1, 200), room=st.integers(50, 200))
def test_nothing_is_lost_when_memory_runs_out(lengths, budget, room):
    spent = TokenBudget(budget, "cpu")

    def work(batch):
        places = len(batch) * max(lengths[index] for index in batch)
        if places > room:
            raise RuntimeError(OUT_OF_MEMORY)
        return places, batch

    done = [index for batch in spent.spend(lengths, work) for index in batch]
    assert sorted(done) == list(range(len(lengths)))
    assert spent.real == sum(lengths)
    assert (spent.halved > 0) == (spent.tokens < budget)
    assert 0 <= spent.padding < 1


@given(lengths=st.lists(st.integers(1, 50)), budget=st.integers(1, 200))
def test_without_padding_a_batch_holds_as_many_rows_as_have_room(lengths, budget):
    found = list(
        TokenBudget(budget, "cpu").spend(lengths, lambda batch: (sum(lengths[i] for i in batch), batch), None, False)
    )
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch, after in itertools.pairwise(found):
        held = sum(lengths[index] for index in batch)
        assert held <= budget or len(batch) == 1
        assert held + lengths[after[0]] > budget, "one more would not have had room"


def test_a_common_beginning_that_does_not_fit_is_an_error():
    def read():
        raise RuntimeError(OUT_OF_MEMORY)

    spent = TokenBudget(None, "cpu")
    assert spent.read_alone(40, lambda: "read") == "read"
    with pytest.raises(RunFailed, match="a row of 1,234 tokens does not fit into memory"):
        spent.read_alone(1234, read)
    assert spent.real == 40


def test_a_single_row_that_does_not_fit_is_an_error():
    def work(batch):
        raise MemoryError

    with pytest.raises(RunFailed, match="a row of 70 tokens does not fit into memory"):
        list(TokenBudget(None, "cpu").spend([70, 3], work))


def test_other_errors_pass():
    def work(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(TokenBudget(100, "cpu").spend([7], work))


@pytest.mark.parametrize("best", [1024, 4096, 10**9])
def test_the_budget_grows_while_that_is_faster(monkeypatch, best):
    """On this machine, batches take constant time up to ``best`` tokens, and time proportional to the tokens above."""
    clock = [0.0]
    monkeypatch.setattr(batches.time, "process_time", lambda: clock[0])
    spent, sizes = TokenBudget(None, "cpu"), []

    def work(batch):
        places = 64 * len(batch)
        sizes.append(places)
        clock[0] += max(places, best) / 1000
        return places, None

    list(spent.spend([64] * 4000, work))
    assert spent.tokens == min(best, batches.MOST_TOKENS["cpu"])
    assert sizes[:BATCHES_TIMED] == [batches.FIRST_TOKENS["cpu"]] * BATCHES_TIMED
    assert sizes[-2] == spent.tokens, "it stays there"


def test_a_fixed_budget_stays():
    spent = TokenBudget(128, "cpu")
    list(spent.spend([64] * 100, lambda batch: (64 * len(batch), None)))
    assert spent.tokens == 128


REQUESTS = [
    *(
        LogLikelihood(as_prompt(f"The film {word} was"), after)
        for word in ("it", "here")
        for after in (" good", " bad")
    ),
    Rolling(as_prompt("A text that is read as it stands. " * 12)),
    *(Generate(as_prompt(prompt), 4) for prompt in ("A", "The film", "In 1984")),
]


def leave_memory_for_one_row(backbone, monkeypatch):
    real = type(backbone.causal_lm.base_model).forward

    def small(self, input_ids, **options):
        if len(input_ids) > 1:
            raise RuntimeError(OUT_OF_MEMORY)
        return real(self, input_ids, **options)

    monkeypatch.setattr(type(backbone.causal_lm.base_model), "forward", small)


@pytest.mark.parametrize("kind", [LocalEngine, SharedEngine])
def test_engines_answer_all_when_memory_runs_out(load, monkeypatch, kind):
    backbone = load("gpt2")
    wanted = kind(backbone).answer(REQUESTS)
    leave_memory_for_one_row(backbone, monkeypatch)
    engine, seen = kind(backbone), []
    answered = engine.answer(REQUESTS, lambda done, tokens: seen.append(done))
    assert sum(seen) == len(REQUESTS)
    assert engine.work()["out_of_memory"] > 0
    for one, other in zip(wanted, answered, strict=True):
        assert other.logprob == pytest.approx(one.logprob, abs=1e-4)
        assert getattr(other, "text", None) == getattr(one, "text", None)


def test_running_out_of_memory_while_writing_is_counted(load, monkeypatch):
    backbone = load("gpt2")
    leave_memory_for_one_row(backbone, monkeypatch)
    engine = SharedEngine(backbone)
    texts = [Generate(as_prompt(prompt), 4) for prompt in ("A", "The film", "In 1984")]
    engine.answer(texts)
    work = engine.work()
    assert work["out_of_memory"] > 0
    assert work["tokens_read"] == work["tokens_asked"] > 3 * 4


def test_padding_is_counted(load):
    engine = LocalEngine(load("gpt2"), tokens_per_batch=10_000)
    prompts = ["word " * count for count in (1, 5, 20)]
    engine.answer([LogLikelihood(as_prompt(prompt), " end") for prompt in prompts])
    lengths = [len(load("gpt2").tokenizer.encode(prompt + " end")) + 1 for prompt in prompts]
    work = engine.work()
    assert work["tokens_read"] == work["tokens_asked"] == sum(lengths)
    assert work["padding"] == round(1 - sum(lengths) / (3 * max(lengths)), 4)
