"""The attention of loaded models: that of transformers, except while rows are processed without padding."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.model import ragged_attention
from gpttasks.model.folder import load_causal_lm
from gpttasks.model.ragged_attention import NAME, STOCK, forward_ragged
from gpttasks.model.tree_attention import MaskedRow

RAGGED = ["gpt2", "opt", "llama", "qwen3", "gemma3_text", "mistral"]
IDS = torch.tensor([[5, 9, 270, 31, 8, 99, 14], [7, 7, 3, 300, 2, 2, 41]])
PADDED = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1]])


@pytest.fixture(scope="module")
def pair(tiny_folder):
    """A backbone, and the same model with transformers' attention."""
    made = {}

    def loaded(family):
        if family not in made:
            folder = tiny_folder(family)
            backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
            backbone.load(LoadSettings())
            made[family] = backbone, load_causal_lm(folder)
        return made[family]

    return loaded


def rows(*lengths):
    random = np.random.default_rng(3)
    return [MaskedRow(random.integers(0, 300, length).tolist(), np.arange(length), None) for length in lengths]


@torch.no_grad()
@pytest.mark.parametrize("family", RAGGED)
def test_outside_of_ragged_reading_it_is_transformers_own(pair, family):
    backbone, plain = pair(family)
    assert (backbone.causal_lm.config._attn_implementation, plain.config._attn_implementation) == (NAME, STOCK)
    for options in ({}, {"attention_mask": PADDED}):
        expected = plain(input_ids=IDS, **options).logits
        assert torch.equal(backbone.causal_lm(input_ids=IDS, **options).logits, expected)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_generation_is_transformers_own(pair, family):
    options = {"attention_mask": PADDED, "max_new_tokens": 6, "num_beams": 2, "do_sample": False, "pad_token_id": 0}
    texts = [model.generate(IDS, **options) for model in (pair(family)[0].causal_lm, pair(family)[1])]
    assert torch.equal(*texts)


def test_training_with_dropout_is_transformers_own(pair):
    losses, gradients = [], []
    for model in (pair("gpt2")[0].causal_lm, pair("gpt2")[1]):
        model.train()
        torch.manual_seed(4)
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.transformer.h[0].attn.c_attn.weight.grad.clone())
        model.zero_grad()
        model.eval()
    assert losses[0] == losses[1]
    assert torch.equal(*gradients)
    with torch.no_grad():
        assert pair("gpt2")[1](input_ids=IDS, labels=IDS).loss.item() != losses[0], "dropout was on"


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 11), min_size=1, max_size=6), family=st.sampled_from(RAGGED))
def test_rows_of_any_lengths_equal_single_rows(pair, lengths, family):
    backbone, plain = pair(family)
    read = rows(*lengths)
    states = forward_ragged(backbone, read)[0]
    expected = [plain.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0] for row in read]
    torch.testing.assert_close(states, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_an_error_within_leaves_nothing_behind(pair, monkeypatch):
    backbone, plain = pair("llama")
    model = backbone.causal_lm
    seen = []

    def fail(*arguments, **options):
        seen.append(model.config._attn_implementation)
        with torch.no_grad():
            forward_ragged(backbone, rows(2))  # a nested call, which fails too
        raise AssertionError("not reached")

    def fail_within(*arguments, **options):
        if not seen:
            return fail()
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(ragged_attention, "_row_by_row", fail_within)
        with pytest.raises(RuntimeError, match="out of memory"):
            forward_ragged(backbone, rows(3, 4))
    assert seen == [NAME] == [model.config._attn_implementation]
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, plain(input_ids=IDS).logits)


def test_a_model_that_does_not_attend_row_by_row_is_an_error(pair, monkeypatch):
    """Rows would see each other in a model that an adaptation has substituted for the loaded one."""
    backbone, plain = pair("gpt2")
    monkeypatch.setattr(backbone, "model", plain)
    with torch.no_grad(), pytest.raises(RuntimeError, match="attends with 'sdpa', expected 'gpttasks'"):
        forward_ragged(backbone, rows(3, 4))


def test_weights_that_are_loaded_later_attend_in_the_same_way(pair, tiny_folder):
    backbone, _ = pair("gpt2")
    before = backbone.model
    backbone.replace_weights(load_causal_lm(tiny_folder("gpt2")))
    with torch.no_grad():
        states = forward_ragged(backbone, rows(3, 4))
        backbone.model = before
        assert torch.equal(states, forward_ragged(backbone, rows(3, 4)))


def test_a_saved_model_does_not_name_this_attention(pair, tmp_path):
    pair("gpt2")[0].causal_lm.save_pretrained(tmp_path)
    assert NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == STOCK
