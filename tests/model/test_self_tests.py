"""Small models that stand in for large ones in the tests of what a model can do."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.model import self_tests
from gpttasks.model.capabilities import unless
from gpttasks.model.rope import rope_change
from gpttasks.model.self_tests import self_test, try_batches, try_cache, try_direct_head
from gpttasks.model.small import ROPE_CHANGE, SHORT_LENGTH, small_config, small_model
from gpttasks.model.stand_in import lengths_of_change, stand_in_for

# With the sizes of their defaults, most of which are those of a released model.
TYPES = [
    "bloom",
    "cohere2",
    "deepseek_v3",
    "ernie4_5_moe",
    "exaone4",
    "falcon",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "glm4",
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gpt_oss",
    "granitemoe",
    "jamba",
    "lfm2",
    "llama",
    "llama4_text",
    "longcat_flash",
    "mamba",
    "mistral",
    "mixtral",
    "mpt",
    "olmo3",
    "openai-gpt",
    "opt",
    "phi3",
    "qwen2",
    "qwen3_moe",
    "recurrent_gemma",
    "smollm3",
    "starcoder2",
]


@pytest.mark.parametrize("model_type", TYPES)
def test_a_small_model_of_every_type(model_type):
    config = AutoConfig.for_model(model_type)
    small = small_config(config)
    assert type(small) is type(config)
    assert all(length <= ROPE_CHANGE for length in lengths_of_change(small))
    assert len(lengths_of_change(small)) >= bool(lengths_of_change(config)), "what changes at a length is kept"
    kinds = (set(getattr(one, "layer_types", None) or ()) for one in (config, small))
    assert next(kinds) == next(kinds), "there is a layer of each type"
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]._from_config(small, dtype=torch.float32)
    assert sum(parameter.numel() for parameter in model.parameters()) < 5_000_000
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=torch.arange(40)[None], use_cache=False).logits).all()


def test_the_parts_of_a_config_that_change_with_the_length_of_a_text():
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "short_factor": [1.0] * 24 + [2.0] * 24,
        "long_factor": [4.0] * 24 + [8.0] * 24,
    }
    config = AutoConfig.for_model(
        "phi3", rope_parameters=rope, original_max_position_embeddings=4096, max_position_embeddings=131072
    )
    assert 4096 in lengths_of_change(config)
    small = small_config(config)
    assert small.rope_parameters["original_max_position_embeddings"] == ROPE_CHANGE
    assert small.rope_parameters["long_factor"] == [4.0, 4.0, 8.0, 8.0]
    yarn = AutoConfig.for_model(
        "qwen3",
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 4.0,
            "original_max_position_embeddings": 32768,
        },
    )
    assert small_config(yarn).rope_parameters["original_max_position_embeddings"] == SHORT_LENGTH
    assert small_config(AutoConfig.for_model("gemma2")).final_logit_softcapping == 30.0


def test_where_rotary_factors_change(tiny_folder):
    model = AutoModelForCausalLM.from_pretrained(tiny_folder("phi3"))
    assert rope_change(model, 128) == 24
    assert rope_change(model, 25) == 24
    assert rope_change(model, 24) is None, "no text is longer"
    assert rope_change(AutoModelForCausalLM.from_pretrained(tiny_folder("llama")), 128) is None


def loaded(folder, context=None):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder), context=context))
    backbone.load(LoadSettings())
    return backbone


def test_without_a_small_model_what_changes_late_is_not_trusted(tiny_folder, monkeypatch):
    backbone = loaded(tiny_folder("mistral"))
    assert backbone.supports.sharing
    monkeypatch.setattr(self_tests, "_small_models", {})
    monkeypatch.setattr(self_tests, "stand_in_for", lambda lm: "no small model can be made")
    self_test(backbone)
    assert backbone.supports.sharing, "its window of 12 tokens can be tested with the model itself"
    monkeypatch.setattr(self_tests, "LONGEST_TESTED", 10)
    monkeypatch.setattr(self_tests, "_small_models", {})
    self_test(backbone)
    reason = "its change of behaviour at 12 tokens cannot be tested: no small model can be made"
    assert backbone.supports.sharing == backbone.supports.left_padding == unless(reason)
    assert backbone.supports.batches
    assert backbone.supports.cache


def test_a_fault_beyond_a_length_is_found_in_the_small_model(tiny_folder, monkeypatch):
    """The short rows of the model itself do not show it."""
    backbone = loaded(tiny_folder("mistral"))
    monkeypatch.setattr(self_tests, "_small_models", {})
    real = self_tests.attention_masks

    def without_window(lm, sees, positions, before=0):
        supports, lm.supports = lm.supports, replace(lm.supports, sliding_window=None)
        masks = real(lm, sees, positions, before)
        lm.supports = supports
        return masks

    monkeypatch.setattr("gpttasks.model.tree_attention.attention_masks", without_window)
    assert self_tests.try_sharing(backbone, self_tests.BRIEF)
    self_test(backbone)
    assert "test rows differ from plain ones" in backbone.supports.sharing.reason
    assert "test rows differ from plain ones" in backbone.supports.packing.reason


def test_a_head_that_caps_or_scales_is_found_whatever_its_weights(tiny_folder):
    for family, direct in (("llama", True), ("gemma2", False)):
        backbone = loaded(tiny_folder(family))
        with torch.no_grad():
            for parameter in backbone.causal_lm.parameters():
                parameter.mul_(1e-3)
        assert try_direct_head(backbone).able is direct
    scaled = copy.deepcopy(AutoConfig.for_model("granite", logits_scaling=16.0))
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(scaled)]._from_config(small_config(scaled), dtype=torch.float32).eval()
    backbone = loaded(tiny_folder("llama"))
    backbone.model = model
    assert not try_direct_head(backbone)


def test_a_model_whose_rows_disturb_each_other_processes_them_alone(tiny_folder, monkeypatch):
    backbone = loaded(tiny_folder("llama"))
    real = type(backbone.causal_lm.base_model).forward

    def disturbed(self, *arguments, **options):
        output = real(self, *arguments, **options)
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.shape[0]
        return output

    monkeypatch.setattr(type(backbone.causal_lm.base_model), "forward", disturbed)
    found = try_batches(backbone)
    assert "padded rows differ from plain ones" in found.reason
    rows = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
    with torch.no_grad():
        alone = [backbone.forward([row]).states[0] for row in rows]
        backbone.supports = replace(backbone.supports, batches=found)
        together = backbone.forward(rows)
    for row, states, expected in zip(rows, together.states, alone, strict=True):
        torch.testing.assert_close(states[: len(row)], expected)


def test_a_cache_that_forgets_is_not_used(tiny_folder, monkeypatch):
    backbone = loaded(tiny_folder("llama"))
    real = type(backbone.causal_lm).forward

    def forgetful(self, *arguments, past_key_values=None, cache=None, **options):
        return real(self, *arguments, **options)

    monkeypatch.setattr(type(backbone.causal_lm), "forward", forgetful)
    found = try_cache(backbone)
    assert "tokens processed with cached keys and values differ" in found.reason
    supports = backbone.supports.with_result("cache", found)
    assert supports.cache_name is None


def test_a_stand_in_has_the_attention_and_the_class_of_the_model(tiny_folder):
    backbone = loaded(tiny_folder("gpt_oss"))
    small = stand_in_for(backbone)
    assert type(small.causal_lm) is type(backbone.causal_lm)
    assert small.causal_lm.config._attn_implementation == backbone.causal_lm.config._attn_implementation == "eager"
    state = torch.get_rng_state()
    small_model(backbone.causal_lm, backbone.device)
    assert torch.equal(torch.get_rng_state(), state), "random numbers of a run do not depend on the test"
