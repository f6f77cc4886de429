"""The trained part of a backbone, which other tools can load once it is saved."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.adaptations.full import Full
from gpttasks.adaptations.head_only import HeadOnly
from gpttasks.adaptations.lora import RENAMED, SET_HERE, Lora, LoraOptions, lora_config_fields
from gpttasks.adaptations.merge import merge_adapter
from gpttasks.adaptations.none import NoAdaptation
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import UserError

IDS = torch.tensor([[0, 9, 270, 31, 8, 99, 14]])


def load(folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    return backbone


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def trained(backbone):
    return {name for name, value in backbone.model.named_parameters() if value.requires_grad}


def disturb(backbone):
    """Simulates training: changes everything that is trained."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in backbone.model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value) * 0.3)


def adapted(folder, **options):
    backbone = load(folder)
    adaptation = Lora(LoraOptions(**options))
    adaptation.apply(backbone)
    disturb(backbone)
    return adaptation, backbone


@pytest.mark.parametrize("model_type", ["gpt2", "openai-gpt", "gpt_neo", "llama", "gemma2"])
def test_an_adapter_loads_with_plain_peft(tiny_folder, tmp_path, model_type):
    folder = tiny_folder(model_type)
    adaptation, backbone = adapted(folder, rank=4, alpha=8)
    changed = logits(backbone.model)
    assert not torch.allclose(changed, logits(load(folder).model), atol=1e-2), "the adapter does something"
    adaptation.save(backbone, tmp_path / "adapter")
    files = {file.name for file in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "adapter")
    torch.testing.assert_close(logits(plain), changed, atol=1e-5, rtol=1e-5)
    again = load(folder)
    adaptation.load(again, tmp_path / "adapter")
    assert torch.equal(logits(again.model), changed)
    with torch.no_grad():
        outputs = again.forward([IDS[0].tolist()])
    torch.testing.assert_close(outputs.targets([1]).logits, changed[0, :-1], atol=1e-5, rtol=1e-5)


def test_all_linear_reaches_every_layer_of_a_conv1d_model(tiny_gpt2_folder):
    _, backbone = adapted(tiny_gpt2_folder)
    layers = [
        f"transformer.h.{n}.{name}" for n in (0, 1) for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    wanted = {f"base_model.model.{layer}.lora_{side}.default.weight" for layer in layers for side in "AB"}
    assert trained(backbone) == wanted


@pytest.mark.parametrize("targets", [["c_attn"], r".*\.attn\.c_attn"])
def test_targets(tiny_gpt2_folder, targets):
    _, backbone = adapted(tiny_gpt2_folder, targets=targets)
    assert len(trained(backbone)) == 4
    assert all("c_attn" in name for name in trained(backbone))


def test_options_become_a_peft_config():
    options = {"rank": 3, "alpha": 12, "dropout": 0.25, "bias": "lora_only", "rslora": True, "dora": True}
    config = Lora(
        LoraOptions(**options, peft={"exclude_modules": ["lm_head"], "init_lora_weights": "gaussian"})
    ).config()
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (3, 12, 0.25, "lora_only")
    assert (config.use_rslora, config.use_dora, config.task_type) == (True, True, "CAUSAL_LM")
    assert (config.exclude_modules, config.init_lora_weights) == ({"lm_head"}, "gaussian")


@pytest.mark.parametrize(
    ("options", "key", "meant"),
    [
        ({"targets": ["query"]}, "adapt.targets", "c_attn"),
        ({"targets": ["c_attn", "lm_hed"]}, "adapt.targets", "did you mean 'lm_head'"),
        ({"targets": r".*\.query"}, "adapt.targets", "c_attn"),
        ({"peft": {"modules_to_save": ["lm_haed"]}}, "adapt.peft.modules_to_save", "did you mean 'lm_head'"),
        ({"peft": {"exclude_modules": ["c_fcc"]}}, "adapt.peft.exclude_modules", "did you mean 'c_fc'"),
        ({"peft": {"rank_pattern": {"c_atn": 64}}}, "adapt.peft.rank_pattern", "did you mean 'c_attn'"),
        ({"peft": {"alpha_pattern": {"(": 64}}}, "adapt.peft.alpha_pattern", "c_attn"),
        ({"peft": {"target_parameters": ["experts.up"]}}, "adapt.peft.target_parameters", "weight"),
    ],
)
def test_names_that_match_nothing(tiny_gpt2_folder, options, key, meant):
    with pytest.raises(UserError, match=r"matches no (module|parameter) of the backbone") as caught:
        Lora(LoraOptions(**options)).apply(load(tiny_gpt2_folder))
    assert [problem.key for problem in caught.value.problems] == [key]
    assert meant in str(caught.value)


@pytest.mark.parametrize(("layers", "missing"), [([0, 99], [99]), ([7, 8], [7, 8]), (2, [2])])
def test_layers_that_the_model_does_not_have(tiny_gpt2_folder, layers, missing):
    with pytest.raises(UserError) as caught:
        Lora(LoraOptions(targets=["c_attn"], peft={"layers_to_transform": layers})).apply(load(tiny_gpt2_folder))
    assert [problem.message for problem in caught.value.problems] == [
        f"layer {index} has no target" for index in missing
    ]
    _, backbone = adapted(tiny_gpt2_folder, targets=["c_attn"], peft={"layers_to_transform": [1]})
    assert len(trained(backbone)) == 2


def test_names_that_match_something_are_accepted(tiny_gpt2_folder):
    peft = {"modules_to_save": ["lm_head"], "exclude_modules": ["c_fc"], "rank_pattern": {"^transformer.*c_attn": 2}}
    _, backbone = adapted(tiny_gpt2_folder, peft=peft)
    assert not any("c_fc" in name for name in trained(backbone))


def test_all_linear_says_that_it_reaches_no_expert(tiny_folder):
    adaptation = Lora(LoraOptions())
    adaptation.apply(load(tiny_folder("gpt_oss")))
    (note,) = adaptation.notes
    assert "reaches no expert" in note
    assert "experts.gate_up_proj" in note


@pytest.mark.parametrize("start", ["eva", "corda", "lora_ga", "loftq", "pissa_niter_4"])
def test_initialisations_that_would_be_lost_are_refused(start):
    with pytest.raises(ValidationError, match=f"init_lora_weights: {start} is not supported"):
        LoraOptions(peft={"init_lora_weights": start})


@pytest.mark.parametrize("targets", [["wte"], ["lm_head"], ["wte", "lm_head"], "all-linear"])
def test_merging_keeps_what_a_tied_model_computes(tiny_gpt2_folder, tmp_path, targets):
    _, backbone = adapted(tiny_gpt2_folder, targets=targets)
    before = logits(backbone.model)
    assert merge_adapter(backbone)
    backbone.model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(backbone.model), before, atol=1e-4, rtol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(plain), before, atol=1e-4, rtol=1e-4)
    assert plain.config.tie_word_embeddings == (targets == "all-linear")


def test_every_option_of_peft_can_be_reached():
    fields = {field.name: field for field in dataclasses.fields(LoraConfig)}
    assert lora_config_fields() == set(fields)
    assert all(field.init for field in fields.values()), "LoraConfig takes each of them"
    assert set(RENAMED) | SET_HERE <= set(fields)
    assert set(RENAMED.values()) < set(LoraOptions.model_fields)
    for name, field in fields.items():
        if name not in RENAMED and name not in SET_HERE:
            made = field.default_factory() if field.default is dataclasses.MISSING else field.default
            Lora(LoraOptions(peft={name: made})).config()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("r", "'r' is the option 'rank' of lora"),
        ("task_type", "'task_type' is set by gpttasks"),
        ("exclude_module", "no option 'exclude_module'; did you mean 'exclude_modules'"),
        ("zzz", "peft.LoraConfig has no option 'zzz'"),
    ],
)
def test_wrong_peft_options(option, message):
    with pytest.raises(ValidationError, match=message):
        LoraOptions(peft={option: 1})


def test_the_options_of_peft_are_known_without_importing_it():
    code = (
        "import sys; from gpttasks.adaptations.lora import LoraOptions; LoraOptions(peft={'use_qalora': False});"
        "sys.exit(any(name in sys.modules for name in ('peft', 'torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("model_type", ["gpt2", "opt", "llama"])
def test_a_full_model_loads_with_plain_transformers(tiny_folder, tmp_path, model_type):
    backbone, adaptation = load(tiny_folder(model_type)), Full()
    adaptation.apply(backbone)
    assert len(trained(backbone)) == len(list(backbone.model.parameters()))
    disturb(backbone)
    changed = logits(backbone.model)
    adaptation.save(backbone, tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(logits(plain), changed, atol=1e-5, rtol=1e-5)
    text = "The film was a quiet wonder."
    assert AutoTokenizer.from_pretrained(tmp_path / "model")(text)["input_ids"][1:] == backbone.tokenizer.encode(text)
    again = load(tiny_folder(model_type))
    adaptation.load(again, tmp_path / "model")
    assert torch.equal(logits(again.model), changed)
    assert load(tmp_path / "model").tokenizer.digest == backbone.tokenizer.digest


@pytest.mark.parametrize("adaptation", [NoAdaptation(), HeadOnly()])
def test_a_frozen_backbone(tiny_gpt2_folder, tmp_path, adaptation):
    backbone = load(tiny_gpt2_folder)
    adaptation.apply(backbone)
    assert trained(backbone) == set()
    adaptation.save(backbone, tmp_path)
    adaptation.load(backbone, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(logits(backbone.model), logits(load(tiny_gpt2_folder).model))


def test_what_they_say_of_themselves():
    said = {one.name: (one.trains, one.trains_weights, one.keeps) for one in (NoAdaptation, HeadOnly, Full, Lora)}
    assert said == {
        "none": (False, False, None),
        "head-only": (True, False, None),
        "full": (True, True, "model"),
        "lora": (True, False, "adapter"),
    }
