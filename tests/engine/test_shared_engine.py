"""The fast engine against the plain one, request by request, for every family and prompts with common parts."""

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.engine import shared, tree
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.example import Part, as_prompt
from gpttasks.model import ragged_attention
from gpttasks.model.capabilities import unless
from gpttasks.model.self_tests import try_masks, try_packing, try_ragged, try_sharing
from gpttasks.model.tree_attention import forward_rows
from gpttasks.requests import Generate, LogLikelihood, Readout, Rolling
from gpttasks.tokens.rows import rows_of_request

SHARING = ["gpt2", "opt", "llama", "qwen3", "gpt_oss", "gemma3_text", "mistral", "phi3"]
RAGGED = ["gpt2", "opt", "llama", "qwen3", "gemma3_text", "mistral", "phi3"]
NOT_SHARING = {
    "openai-gpt": "does not return keys and values",
    "bloom": "a custom mask raises",
    "gpt_neo": "depends on the index in the row",
    "gemma2": "alters its last hidden states or its logits",
}
SHOTS = "\n\n".join(f"Review {number}: it was {('bad', 'good')[number % 2]}." for number in range(4)) + "\n\n"
WORDS = ("film", "story", "good", "bad", "été", "日本", "مرحبا", "👍", "the", "a")


@pytest.fixture(autouse=True)
def share_also_short_beginnings(monkeypatch):
    monkeypatch.setattr(tree, "SHORTEST_PREFIX", 4)
    monkeypatch.setattr(tree, "LEAST_SAVED", 4)


def options(prompt, *texts):
    return [LogLikelihood(as_prompt(prompt), text, texts) for text in texts]


REQUESTS = [
    *options("The film was", " good", " bad"),
    *options("The film was", " good", " bad"),  # equal requests
    *options(SHOTS + "A quiet wonder. It was", " good", " bad", " a quiet wonder, and nobody left"),
    *options(SHOTS + "Nothing happens. It was", " bad", " badly made"),  # one option begins with another
    *options([SHOTS, Part("word " * 200, "passage"), " It was"], " good", " bad"),  # cut
    *options((), " good", " bad"),
    *options("日本の映画は", "良い", "悪い"),
    *options("فيلم", " جيد", " سيئ"),
    *options("Tab\tand\x00control", "\x01", "\n"),
    Rolling(as_prompt("A text that is read as it stands. " * 12)),
]


def assert_equal(plain, shared):
    assert len(plain) == len(shared)
    for one, other in zip(plain, shared, strict=True):
        assert type(one) is type(other)
        for name, value in vars(one).items():
            if name in ("logprob", "values"):
                assert getattr(other, name) == pytest.approx(value, abs=1e-4)
            else:
                assert getattr(other, name) == value


@pytest.fixture(params=["ragged", "padded"])
def layout(request):
    """Rows without padding, if the model supports them, and padded rows."""
    return request.param


def laid_out(backbone, layout, monkeypatch):
    if layout == "padded":
        off = replace(backbone.supports, ragged=unless("switched off"))
        monkeypatch.setattr(backbone, "supports", off)
    return backbone


@pytest.mark.parametrize("family", SHARING)
@pytest.mark.parametrize("tokens", [1, 40, None])
def test_equal_to_the_plain_engine(load, family, tokens, layout, monkeypatch):
    backbone = laid_out(load(family), layout, monkeypatch)
    plain = LocalEngine(backbone).answer(REQUESTS)
    engine = SharedEngine(backbone, tokens_per_batch=tokens)
    assert_equal(plain, engine.answer(REQUESTS))
    assert_equal(plain[::-1], engine.answer(REQUESTS[::-1]))


@pytest.mark.parametrize("family", SHARING)
def test_long_contexts_are_equal_too(load, monkeypatch, family, layout):
    monkeypatch.setattr(tree, "LONG_FAMILY", 20)
    laid_out(load(family), layout, monkeypatch)
    assert_equal(LocalEngine(load(family)).answer(REQUESTS), SharedEngine(load(family)).answer(REQUESTS))


@settings(max_examples=25)
@given(st.data())
def test_equal_for_any_prompts(load, data):
    backbone = load("gpt2")
    text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
    begin = data.draw(st.lists(text, min_size=1, max_size=2))
    requests = []
    for _ in range(data.draw(st.integers(1, 5))):
        prompt = data.draw(st.sampled_from(begin)) + " " + data.draw(text)
        requests += options(prompt, *data.draw(st.lists(text.map(lambda word: " " + word), min_size=1, max_size=3)))
    assert_equal(LocalEngine(backbone).answer(requests), SharedEngine(backbone, tokens_per_batch=50).answer(requests))


def test_readouts_are_equal_too(load, layout, monkeypatch):
    backbone = load("gpt2")
    torch.manual_seed(1)
    modules = torch.nn.ModuleDict(
        {"last": torch.nn.Linear(backbone.hidden_size, 3), "span": torch.nn.Linear(backbone.hidden_size, 2)}
    )
    laid_out(backbone, layout, monkeypatch)
    prompts = [[SHOTS, Part(f"A {word} film.", "passage"), " So?"] for word in WORDS]
    requests = [Readout(as_prompt(prompt), "last") for prompt in prompts]
    requests += [Readout(as_prompt(prompt), "span", "passage") for prompt in prompts]
    requests += [Generate(as_prompt("The film"), 3)]
    plain, shared = (kind(backbone, modules) for kind in (LocalEngine, SharedEngine))
    assert_equal(plain.answer(requests), shared.answer(requests))


def test_fewer_tokens_are_processed(load):
    requests = [request for word in WORDS for request in options(SHOTS + word, " good", " bad", " neither of them")]
    engine = SharedEngine(load("gpt2"))
    engine.answer(requests)
    plain = LocalEngine(load("gpt2"))
    plain.answer(requests)
    assert engine.work()["tokens_asked"] == plain.work()["tokens_read"] == plain.work()["tokens_asked"]
    assert engine.work()["tokens_read"] < plain.work()["tokens_read"] / 4


def test_progress_counts_every_request_once(load):
    seen = []
    SharedEngine(load("gpt2"), tokens_per_batch=30).answer(REQUESTS, lambda done, tokens: seen.append((done, tokens)))
    assert sum(done for done, _ in seen) == len(REQUESTS)


@pytest.mark.parametrize("family", SHARING)
def test_models_that_support_sharing(load, family):
    assert load(family).supports.sharing


@pytest.mark.parametrize("family", NOT_SHARING)
def test_models_that_do_not_support_sharing_have_a_reason(load, family):
    assert NOT_SHARING[family] in load(family).supports.sharing.reason
    assert load(family).capabilities()["shares_prompts"] is False


def test_a_model_that_ignores_masks_is_detected(load, monkeypatch):
    backbone = load("llama")
    real = type(backbone.causal_lm.base_model).forward

    @functools.wraps(real)  # keeps the signature, from which capabilities are read
    def deaf(self, *arguments, attention_mask=None, position_ids=None, **options):
        return real(self, *arguments, **options)

    monkeypatch.setattr(type(backbone.causal_lm.base_model), "forward", deaf)
    assert "differ from plain ones" in try_sharing(backbone).reason
    assert "differ from plain ones" in try_packing(backbone).reason
    assert try_masks(backbone).reason == "it ignores 4-D masks"


@pytest.mark.parametrize("family", [*SHARING, *NOT_SHARING])
def test_models_that_support_rows_without_padding(load, family):
    backbone = load(family)
    found = backbone.capabilities()
    assert found["reads_ragged"] is (family in RAGGED)
    if family not in RAGGED:
        eager = "its attention is 'eager', and only 'sdpa' can be called row by row"
        assert found["reads_ragged_reason"] == (backbone.supports.sharing.reason or eager)


@pytest.mark.parametrize("family", [family for family in RAGGED if family not in ("gemma3_text", "mistral", "phi3")])
def test_nothing_is_padded(load, family):
    engine = SharedEngine(load(family))
    engine.answer(REQUESTS)
    assert engine.work()["padding"] == 0.0
    assert load(family).capabilities()["attention"] == "sdpa"


@pytest.mark.parametrize("family", ["gemma3_text", "mistral"])
@pytest.mark.parametrize("longer", [False, True])
def test_a_window_that_ends_within_a_text(load, monkeypatch, family, longer):
    """Texts up to the window are processed without padding, longer ones with a mask for each type of layer."""
    backbone = load(family)
    window = backbone.supports.sliding_window
    asked = next(
        asked
        for asked in (options("x" * length, "a", "bc") for length in range(1, 20))
        if max(len(row.ids) for one in asked for row in rows_of_request(backbone.tokenizer, one, 99))
        == window + 1 + longer  # the last token is not fed to the model
    )
    padded = []

    def forward(*arguments):
        padded.append(arguments)
        return forward_rows(*arguments)

    monkeypatch.setattr(shared, "forward_rows", forward)
    assert_equal(LocalEngine(backbone).answer(asked), SharedEngine(backbone).answer(asked))
    assert bool(padded) is longer


def test_a_model_that_ignores_the_layout_is_detected(load, monkeypatch):
    backbone = load("llama")
    chosen = ragged_attention.ALL_ATTENTION_FUNCTIONS

    def deaf(*arguments, **options):
        layout = ragged_attention._layout.get()
        if layout is not None:
            layout.used = True
        return chosen["sdpa"](*arguments, **options)

    monkeypatch.setitem(chosen, ragged_attention.NAME, deaf)
    try:
        assert "differ from plain ones" in try_ragged(backbone).reason
        assert backbone.causal_lm.config._attn_implementation == "sdpa", "a failed path is not used"
    finally:
        ragged_attention.select_attention(backbone.causal_lm)
