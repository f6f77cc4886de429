"""Loading a model folder, with a clear error for each way in which the folder can be wrong."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_runs import run

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import BackboneError, DataError
from gpttasks.model.folder import dtype_name


def load(path, **options):
    backbone = HuggingFace(HuggingFaceOptions(path=str(path), **options))
    backbone.load(LoadSettings())
    return backbone


@pytest.fixture
def folder(tiny_gpt2_folder, tmp_path):
    """A copy of a good folder, to be damaged."""
    return shutil.copytree(tiny_gpt2_folder, tmp_path / "model")


def change_config(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def problem_of(path):
    with pytest.raises(BackboneError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert caught.value.exit_status == 2
    return str(problem)


def test_a_good_folder(tiny_gpt2_folder):
    backbone = load(tiny_gpt2_folder)
    assert backbone.context == 128
    assert not backbone.model.training
    assert backbone.capabilities()["model_type"] == "gpt2"
    assert backbone.capabilities()["begins_with_bos"] is True
    assert {name: len(digest) for name, digest in backbone.digests().items()} == {
        "weights": 64,
        "config": 64,
        "tokenizer": 64,
    }
    json.dumps(backbone.capabilities())


def test_context_may_be_shortened(tiny_gpt2_folder):
    assert load(tiny_gpt2_folder, context=16).context == 16


def test_the_digest_depends_on_the_weights(folder, tiny_gpt2_folder):
    from safetensors.torch import load_file, save_file

    assert load(folder).digests() == load(tiny_gpt2_folder).digests()
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.wte.weight"][0, 0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    changed, original = load(folder).digests(), load(tiny_gpt2_folder).digests()
    assert changed["weights"] != original["weights"]
    assert (changed["tokenizer"], changed["config"]) == (original["tokenizer"], original["config"])


@pytest.mark.parametrize(("key", "value"), [("activation_function", "relu"), ("n_head", 2), ("eos_token_id", 7)])
def test_the_digest_depends_on_the_config(folder, tiny_gpt2_folder, key, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    changed, original = load(folder).digests(), load(tiny_gpt2_folder).digests()
    assert changed["config"] != original["config"]
    assert changed["weights"] == original["weights"]


def test_weights_to_be_trained_are_held_in_fp32(tiny_gpt2_folder):
    import torch

    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings(precision="bf16"))
    assert backbone.model.dtype == torch.bfloat16 == getattr(torch, dtype_name("bf16"))
    backbone.load(LoadSettings(precision="bf16", keep_master=True))
    assert backbone.model.dtype == torch.float32


def test_no_folder(tmp_path):
    assert f"the folder {tmp_path / 'nowhere'} does not exist" in problem_of(tmp_path / "nowhere")


def test_a_file(tmp_path):
    (tmp_path / "model.gguf").touch()
    assert "model.gguf is a file, expected a folder or a Hub id" in problem_of(tmp_path / "model.gguf")


def test_no_config(folder):
    (folder / "config.json").unlink()
    assert "has no config.json" in problem_of(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"model_type": ', "config.json is not valid JSON"), ("[1]", "holds a list, expected an object")],
)
def test_bad_config(folder, content, message):
    (folder / "config.json").write_text(content)
    assert message in problem_of(folder)


def test_remote_code_is_never_run(folder):
    change_config(folder, model_type="mystery", auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('was run')")
    message = problem_of(folder)
    assert "model type 'mystery'" in message
    assert "brings its own code" in message
    assert "never runs code" in message


def test_pickle_weights_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = problem_of(folder)
    assert "only pickle weights (pytorch_model.bin)" in message
    assert "*.safetensors" in message


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "has no weights" in problem_of(folder)


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in problem_of(folder)


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "Unheard"}, "added_tokens": []}'])
def test_a_broken_tokenizer(folder, content):
    (folder / "tokenizer.json").write_text(content)
    message = problem_of(folder)
    assert f"the tokenizer in {folder} cannot be loaded" in message
    assert "\n" not in message


def test_truncated_weights(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert f"the model in {folder} cannot be loaded" in problem_of(folder)


def test_missing_tensors_are_not_made_up(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"], tensors["transformer.h.0.ln_1.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 2 of the tensors that config.json requires, first transformer.h.0.ln_1.bias" in problem_of(folder)


def test_tensors_of_another_shape(folder):
    change_config(folder, vocab_size=500)
    message = problem_of(folder)
    assert "tensors differ from config.json" in message
    assert "transformer.wte.weight" in message


def test_an_encoder_is_refused(folder):
    import torch
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(vocab_size=400, initializer_range=0.2, **sizes))
    model.save_pretrained(folder)
    assert "not causal: its tokens see later ones" in problem_of(folder)


def test_a_hub_name_that_cannot_be_reached():
    message = problem_of("nobody/nothing")
    assert "the folder 'nobody/nothing' does not exist, and the Hub model of that name cannot be downloaded" in message
    assert "\n" not in message


def test_a_hub_name_without_a_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "cannot be downloaded" in problem_of("nobody/nothing")


def test_an_invalid_hub_id():
    assert "neither a folder nor a valid Hub id" in problem_of("a/b/c")


def test_half_a_surrogate_pair_is_an_error(tiny_gpt2_folder):
    with pytest.raises(DataError, match="not valid Unicode"):
        load(tiny_gpt2_folder).tokenizer.encode("a \ud83d b")


@pytest.fixture
def cached(tiny_gpt2_folder):
    """The name of a Hub model that was downloaded before, as the Hub's client keeps it."""
    cache = Path(constants.HF_HUB_CACHE) / "models--acme--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    shutil.copytree(tiny_gpt2_folder, cache / "snapshots" / commit)
    yield "acme/tiny"
    shutil.rmtree(cache)


def test_what_has_to_be_downloaded(cached, tiny_gpt2_folder):
    def to_download(path, **options):
        return HuggingFace(HuggingFaceOptions(path=str(path), **options)).to_download()

    assert to_download(tiny_gpt2_folder) is None
    assert to_download(cached) is None
    assert to_download(cached, revision="another") == cached
    assert to_download("acme/other") == "acme/other"
    assert to_download("not a / valid name") is None, "loading says what is wrong with it"


def test_an_adapter_of_a_hub_model_names_the_hub_model(cached, recipe):
    done = run(recipe, "out", f"backbone={cached}", "train={steps: 1}")
    config = json.loads((done.folder / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == cached
