"""Texts generated together equal those generated one by one, for every family that returns keys and values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.errors import DataError, RunFailed
from gpttasks.example import Part, as_prompt
from gpttasks.model.left_padding import PaddedBatch
from gpttasks.model.self_tests import try_left_padding
from gpttasks.requests import Generate, LogLikelihood

TOGETHER = ["gpt2", "gpt_neo", "opt", "bloom", "llama", "qwen3", "gpt_oss", "gemma3_text", "mistral", "gemma2", "phi3"]
PROMPTS = ["A", "The film was", "In 1984 the price was 3 dollars and", "日本の映画", "مرحبا يا", "👍👍", " "]


def requests(**options):
    return [Generate(as_prompt(prompt), 3 + place, **options) for place, prompt in enumerate(PROMPTS)]


def assert_equal(plain, together):
    for one, other in zip(plain, together, strict=True):
        assert (other.text, other.tokens, other.finish, other.cut) == (one.text, one.tokens, one.finish, one.cut)
        assert other.logprob == pytest.approx(one.logprob, abs=1e-3)


@pytest.mark.parametrize("family", TOGETHER)
@pytest.mark.parametrize("tokens", [1, 60, None])
def test_greedy(load, family, tokens):
    asked = requests()
    assert load(family).supports.left_padding
    assert_equal(LocalEngine(load(family)).answer(asked), SharedEngine(load(family), None, tokens).answer(asked))


@torch.no_grad()
@pytest.mark.parametrize("family", [family for family in TOGETHER if family != "phi3"])  # its long texts are apart
def test_prompts_read_in_parts_of_different_padding(load, family):
    """The logits equal those of one batch; padding common to all rows of a part is not processed."""
    backbone = load(family)
    rows = [backbone.tokenizer.encode(prompt * 3) for prompt in PROMPTS]
    for order in (sorted(rows, key=len, reverse=True), sorted(rows, key=len), rows):
        longest = max(map(len, rows))
        whole, parts = (PaddedBatch(backbone, order, longest + 2, at_once=tokens) for tokens in (10_000, longest))
        for _ in range(2):
            torch.testing.assert_close(parts.logits, whole.logits, atol=2e-5, rtol=1e-4)
            for batch in (whole, parts):
                batch.go_on(list(range(1, len(rows) + 1)))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_draws_with_a_seed_per_request(load, family):
    asked = [request for seed in range(3) for request in requests(temperature=1.0, top_p=0.9, seed=seed)]
    plain = LocalEngine(load(family)).answer(asked)
    assert_equal(plain, SharedEngine(load(family)).answer(asked))
    assert_equal(plain[::-1], SharedEngine(load(family), None, 40).answer(asked[::-1]))
    assert len({reply.text for reply in plain}) > len(PROMPTS)


def test_stops_beams_and_other_requests_beside_them(load):
    backbone = load("gpt2")
    words = {reply.text[1:3] for reply in LocalEngine(backbone).answer(requests()) if len(reply.text) > 3}
    asked = [
        *requests(stop=tuple(words)),
        *requests(beams=2)[:2],
        LogLikelihood(as_prompt("The film was"), " good"),
        *requests(),
        Generate(as_prompt(Part("word " * 200, "passage")), 100),
    ]
    plain, together = (kind(backbone).answer(asked) for kind in (LocalEngine, SharedEngine))
    texts = [place for place, request in enumerate(asked) if isinstance(request, Generate)]
    assert_equal([plain[place] for place in texts], [together[place] for place in texts])
    assert "stop" in {plain[place].finish for place in texts}
    assert plain[-1].cut.tokens > 0


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(PROMPTS), st.integers(1, 6)), min_size=1, max_size=6))
def test_any_combination_of_requests(load, asked):
    some = [Generate(as_prompt(prompt), length) for prompt, length in asked]
    assert_equal(LocalEngine(load("gpt2")).answer(some), SharedEngine(load("gpt2"), None, 50).answer(some))


def test_no_room_for_a_prompt_and_nan_are_errors(load, tiny_folder):
    with pytest.raises(DataError, match="leaves no room"):
        SharedEngine(load("gpt2")).answer([Generate(as_prompt("A"), 128)])
    broken = HuggingFace(HuggingFaceOptions(path=str(tiny_folder("gpt2"))))
    broken.load(LoadSettings())
    broken.model.transformer.wte.weight.data[:] = float("nan")
    with pytest.raises(RunFailed, match="numbers for token 1 after the prompt are not finite"):
        SharedEngine(broken).answer(requests())


def test_a_model_without_keys_and_values_has_a_reason(load):
    assert load("openai-gpt").supports.left_padding.reason == "it does not return keys and values"
    assert load("openai-gpt").capabilities()["writes_together"] is False
    asked = requests()[:3]
    assert_equal(LocalEngine(load("openai-gpt")).answer(asked), SharedEngine(load("openai-gpt")).answer(asked))


def test_a_model_that_ignores_masks_is_detected(load, monkeypatch):
    backbone = load("llama")
    from gpttasks.model import left_padding

    monkeypatch.setattr(left_padding.PaddedBatch, "_read", _deaf(left_padding.PaddedBatch._read))
    assert "differ from plain ones" in try_left_padding(backbone).reason


def _deaf(real):
    def read(self, *arguments):
        self._mask = self._mask * 0 + 1
        return real(self, *arguments)

    return read
