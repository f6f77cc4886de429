"""Saved adapters and modules that were damaged or exchanged are refused, with the name of the tensor."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpttasks.adaptations.lora import Lora, LoraOptions
from gpttasks.adaptations.saved_weights import check_saved_weights, misfit, not_finite, read_tensors
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import BackboneError, FolderError

WEIGHTS = "adapter_model.safetensors"


def loaded(folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    return backbone


def saved(folder, tmp_path, **options):
    backbone, lora = loaded(folder), Lora(LoraOptions(rank=2, **options))
    lora.apply(backbone)
    folder = tmp_path / "adapter"
    folder.mkdir()
    lora.save(backbone, folder)
    return lora, folder


@pytest.fixture
def adapter(tiny_gpt2_folder, tmp_path):
    return saved(tiny_gpt2_folder, tmp_path)


@pytest.mark.parametrize(
    "options",
    [{}, {"targets": ["c_attn", "wte"]}, {"dora": True, "bias": "all"}, {"peft": {"modules_to_save": ["wte"]}}],
)
def test_what_was_saved_is_loaded(tiny_gpt2_folder, tmp_path, options):
    lora, folder = saved(tiny_gpt2_folder, tmp_path, **options)
    lora.load(loaded(tiny_gpt2_folder), folder)


def without_one(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


CHANGES = {
    "missing": (without_one, BackboneError, "{name} has the shape nothing, expected"),
    "surplus": (lambda some, name: {**some, "zz.lora_B.weight": torch.zeros(1)}, BackboneError, "zz.lora_B.weight has"),
    "shape": (lambda some, name: {**some, name: torch.zeros(3, 7)}, BackboneError, "size mismatch|has the shape"),
    "NaN": (
        lambda some, name: {**some, name: some[name] * float("nan")},
        FolderError,
        "{name} has values that are not",
    ),
    "infinite": (lambda some, name: {**some, name: some[name] + float("inf")}, FolderError, "{name} has values"),
    "foreign": (
        lambda some, name: {key.replace("transformer.h", "model.layers"): value for key, value in some.items()},
        BackboneError,
        "model.layers.* has the shape",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_adapter_is_refused(adapter, tiny_gpt2_folder, change):
    lora, folder = adapter
    alter, error, message = CHANGES[change]
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in sorted(tensors) if "lora_B" in name)
    save_file(alter(tensors, name), folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(error, match=message.format(name=name)):
        lora.load(loaded(tiny_gpt2_folder), folder)


@pytest.mark.parametrize("suffix", ["bin", "pt"])
def test_no_pickle_is_opened(adapter, tiny_gpt2_folder, suffix, tmp_path):
    lora, folder = adapter

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    (folder / f"adapter_model.{suffix}").write_bytes(pickle.dumps(Trap()))
    lora.load(loaded(tiny_gpt2_folder), folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FolderError, match=rf"only pickle weights \(adapter_model\.{suffix}\)"):
        lora.load(loaded(tiny_gpt2_folder), folder)
    assert not (tmp_path / "opened").exists()


def test_files_that_are_missing_or_damaged(adapter, tiny_gpt2_folder):
    lora, folder = adapter
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(FolderError, match=f"{WEIGHTS} cannot be read"):
        lora.load(loaded(tiny_gpt2_folder), folder)
    (folder / WEIGHTS).write_bytes(content)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(FolderError, match=r"has no adapter_config\.json"):
        lora.load(loaded(tiny_gpt2_folder), folder)
    with pytest.raises(FolderError, match="has no folder"):
        check_saved_weights(folder / "gone")


def test_the_first_misfit():
    some = {"a": torch.zeros(2), "b": torch.zeros(1)}
    assert misfit(some, some) is None
    assert misfit({"a": torch.zeros(2)}, some) == "b has the shape nothing, expected [1]"
    assert misfit({"a": torch.zeros(2)}, some, frozenset("b")) is None
    assert misfit(some, {"a": torch.zeros(3)}) == "a has the shape [2], expected [3]"


def test_what_is_not_finite():
    fine = {"a": torch.tensor([1, 2]), "b": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    assert not_finite(fine) is None
    assert not_finite(fine | {"c": torch.tensor([1.0, float("inf")], dtype=torch.bfloat16)}) == "c"


def test_metadata_is_read_with_the_tensors(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "head.safetensors", metadata={"fits": "{}"})
    assert read_tensors(tmp_path / "head.safetensors")[1] == {"fits": "{}"}
