"""The record of what a model can do."""

import inspect
import json
from types import SimpleNamespace

import pytest
from transformers import AutoModelForCausalLM
from transformers.utils.quantization_config import BitsAndBytesConfig

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.model.capabilities import RECORDED_AS, YES, Capability, inspected, unless

FAMILIES = [
    "gpt2",
    "openai-gpt",
    "gpt_neo",
    "opt",
    "bloom",
    "llama",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "phi3",
]


def test_a_missing_capability_has_a_reason():
    assert YES
    assert unless(None) == YES
    assert not unless("it is too old")
    assert unless("it is too old") == Capability(False, "it is too old")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_record(tiny_folder, family):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_folder(family))))
    backbone.load(LoadSettings())
    supports, record = backbone.supports, backbone.capabilities()
    for field, name in RECORDED_AS.items():
        capability = getattr(supports, field)
        assert capability.able is (capability.reason is None)
        assert (record[name], record[f"{name}_reason"]) == (capability.able, capability.reason)
    assert "not tested" not in json.dumps(record)
    assert (
        record["layers"]
        == len(backbone.causal_lm(input_ids=backbone._some_ids(), output_hidden_states=True)["hidden_states"]) - 1
    )
    assert record["quantisation"] is None
    assert record["gives_logprobs"] is True
    assert record["takes_masks_reason"] == {
        "openai-gpt": "a 4-D mask raises RuntimeError",
        "bloom": "a 4-D mask raises ValueError",
    }.get(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_model_and_its_base_accept_the_same_arguments(tiny_folder, family):
    """Capabilities that follow from the base model's forward method are used with the whole model, too."""
    model = AutoModelForCausalLM.from_pretrained(tiny_folder(family))
    supports = inspected(model, SimpleNamespace(chat_template=None))
    for part in (model, model.base_model):
        parameters = inspect.signature(part.forward).parameters
        assert supports.positions.able is ("position_ids" in parameters)
        assert supports.cache_name is None or supports.cache_name in parameters


def test_chat_template_and_quantisation(tiny_gpt2_folder):
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder)
    assert inspected(model, SimpleNamespace(chat_template="{{ messages }}")).chat_template
    assert inspected(model, SimpleNamespace(chat_template=None)).chat_template.reason == "its tokenizer has no template"
    for settings, method in (
        ({"quant_method": "gptq"}, "gptq"),
        (BitsAndBytesConfig(load_in_8bit=True), "bitsandbytes"),
    ):
        model.config.quantization_config = settings
        assert inspected(model, SimpleNamespace()).quantisation == method
