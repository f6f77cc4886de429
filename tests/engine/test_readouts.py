"""Readouts of any layer, of pooled spans and of pairs, compared with transformers' own hidden states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpttasks import BackboneError, DataError, Item, LogLikelihood, Part, Readout
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.item import rows_of_items
from gpttasks.tokens.rows import rows_of_request

PASSAGE = "A dull story, and nothing happens for two hours."
PROMPT = (Part("Read: "), Part(PASSAGE, "passage"), Part("\nIs it good?"))
HIDDEN = 32
SPANS = st.integers(0, len(PASSAGE) - 1).flatmap(
    lambda first: st.integers(first + 1, len(PASSAGE)).map(lambda end: (first, end))
)
READOUTS = st.one_of(
    st.builds(Readout, st.just(PROMPT), st.just("one"), st.just("last"), st.integers(-3, 2)),
    st.builds(
        Readout,
        st.just(PROMPT),
        st.just("one"),
        st.lists(SPANS, min_size=1, max_size=3).map(tuple),
        st.integers(-3, 2),
        st.sampled_from([None, "last", "first", "mean", "max"]),
    ),
    st.builds(
        Readout,
        st.just(PROMPT),
        st.just("two"),
        st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=3).map(tuple),
        st.integers(-3, 2),
        st.sampled_from([None, "mean"]),
    ),
    st.builds(
        Readout,
        st.just(PROMPT),
        st.just("one"),
        st.just("passage"),
        st.integers(-3, 2),
        st.sampled_from([None, "mean", "max", "first"]),
    ),
)


@pytest.fixture(scope="module")
def backbone(tiny_gpt2_folder):
    loaded = HuggingFace(HuggingFace.Options(path=str(tiny_gpt2_folder)))
    loaded.load(LoadSettings())
    return loaded


@pytest.fixture(scope="module")
def modules():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 3))
        return torch.nn.ModuleDict({"one": one, "two": torch.nn.Linear(2 * HIDDEN, 2)})


def naive(backbone, modules, readout):
    """The module's outputs for hidden states from transformers, pooled one span at a time."""
    tokenizer = backbone.tokenizer.inner
    text = "".join(part.text for part in readout.prompt)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = [tokenizer.bos_token_id, *encoded["input_ids"]]
    with torch.no_grad():
        output = backbone.causal_lm(torch.tensor([ids]), output_hidden_states=True)
    states = output.hidden_states[readout.layer][0]
    begin = text.index(PASSAGE)

    def tokens(first, end):
        offsets = encoded["offset_mapping"]
        return [1 + place for place, (a, b) in enumerate(offsets) if a < begin + end and b > begin + first]

    def one(span, pooling):
        chosen = states[tokens(*span)]
        return {
            "mean": lambda: chosen.mean(0),
            "max": lambda: chosen.max(0).values,
            "first": lambda: chosen[0],
            "last": lambda: chosen[-1],
        }[pooling or "last"]()

    whole = (0, len(PASSAGE))
    if readout.at == "last":
        vectors = [states[-1]]
    elif readout.at == "passage" and readout.pooling is None:
        vectors = [*states[tokens(*whole)], states[-1]]
    elif readout.at == "passage":
        vectors = [one(whole, readout.pooling)]
    else:
        vectors = [torch.cat([one(span, readout.pooling) for span in spans]) for spans in readout.spans]
    with torch.no_grad():
        return modules[readout.module](torch.stack(vectors)).flatten().tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(READOUTS, min_size=1, max_size=4))
@pytest.mark.parametrize("engine", [LocalEngine, SharedEngine])
def test_readouts_equal_those_of_transformers(backbone, modules, engine, readouts):
    likelihood = LogLikelihood(PROMPT, " yes")
    replies = engine(backbone, modules).answer([*readouts, likelihood])
    for readout, reply in zip(readouts, replies, strict=False):
        assert list(reply.values) == pytest.approx(naive(backbone, modules, readout), abs=1e-4)
    alone = engine(backbone, modules).answer([likelihood])[0].logprob
    assert replies[-1].logprob == pytest.approx(alone, abs=1e-4)


@settings(max_examples=20)
@given(READOUTS)
def test_training_reads_the_same_vectors_as_requests(backbone, modules, readout):
    (row,) = rows_of_request(backbone.tokenizer, readout, backbone.context)
    rows = rows_of_items([Item((row,), {"loss": 1}), Item((replace(row),), {"loss": 1})])
    with torch.no_grad():
        outputs = backbone.forward([one.ids for one in rows], {one.layer for one in rows})
        values = modules[readout.module](outputs.read(rows))
    expected = naive(backbone, modules, readout)
    assert values.flatten().tolist() == pytest.approx([*expected, *expected], abs=1e-4)


@pytest.mark.parametrize(
    ("at", "more", "message"),
    [
        ((), {}, "expected one or more spans"),
        (((3, 3),), {}, r"got the span \(3, 3\)"),
        (((-1, 3),), {}, r"got the span \(-1, 3\)"),
        (((0, 3), ((0, 1), (1, 2))), {}, "expected one or more spans, or one or more pairs"),
        ("last", {"pooling": "mean"}, "pooling: got 'mean' with at='last'"),
    ],
)
def test_wrong_readouts_are_refused(at, more, message):
    with pytest.raises(ValueError, match=message):
        Readout(PROMPT, "one", at, **more)


def test_a_span_beyond_the_passage_and_a_missing_layer_are_refused(backbone, modules):
    engine = LocalEngine(backbone, modules)
    with pytest.raises(DataError, match=r"got the span \(0, 999\), but the passage has only 48 characters"):
        engine.answer([Readout(PROMPT, "one", ((0, 999),))])
    with pytest.raises(BackboneError, match=r"got a readout of layer 9, but the model has the layers 0 .* to 2"):
        engine.answer([Readout(PROMPT, "one", "last", 9)])
    with pytest.raises(DataError, match="the prompt has 0 passages"):
        engine.answer([Readout((Part("none"),), "one", ((0, 1),))])
