"""The training state in one file."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpttasks.errors import FolderError
from gpttasks.training.checkpoint import load_checkpoint, save_checkpoint, trained_parameters


def model_and_optimizer(seed, steps=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))
    model[1].requires_grad_(False)
    heads = torch.nn.ModuleDict({"classifier": torch.nn.Linear(2, 2)})
    parameters = trained_parameters(model, heads)
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
    for _ in range(steps):
        step(model, heads, optimizer)
    return model, heads, parameters, optimizer


def step(model, heads, optimizer):
    optimizer.zero_grad()
    heads["classifier"](model(torch.arange(8.0).reshape(2, 4))).square().sum().backward()
    optimizer.step()


def test_only_what_is_trained_has_a_name():
    _, _, parameters, _ = model_and_optimizer(0)
    own = {"backbone.0.weight", "backbone.0.bias", "backbone.2.weight", "backbone.2.bias"}
    assert set(parameters) == own | {"head.classifier.weight", "head.classifier.bias"}


def test_round_trip_goes_on_identically(tmp_path):
    file = tmp_path / "deep" / "last.safetensors"
    state = {"step": 3, "loss": 0.25, "best_value": None, "resumed_at": [1, 2]}
    model, heads, parameters, optimizer = model_and_optimizer(0, steps=3)
    save_checkpoint(file, parameters, optimizer, state)
    assert [one.name for one in file.parent.iterdir()] == ["last.safetensors"], "nothing is left aside"
    other_model, other_heads, other, other_optimizer = model_and_optimizer(1)
    assert load_checkpoint(file, other, other_optimizer) == state
    for _ in range(2):
        step(model, heads, optimizer)
        step(other_model, other_heads, other_optimizer)
    assert all(torch.equal(value, other[name]) for name, value in parameters.items())


def test_weights_alone(tmp_path):
    file = tmp_path / "best.safetensors"
    _, _, parameters, _ = model_and_optimizer(0, steps=1)
    save_checkpoint(file, parameters, None, {"step": 1})
    _, _, other, optimizer = model_and_optimizer(1)
    assert load_checkpoint(file, other) == {"step": 1}
    assert all(torch.equal(value, other[name]) for name, value in parameters.items())
    assert not optimizer.state


def test_a_checkpoint_is_replaced_as_a_whole(tmp_path, monkeypatch):
    file = tmp_path / "last.safetensors"
    _, _, parameters, optimizer = model_and_optimizer(0)
    save_checkpoint(file, parameters, optimizer, {"step": 1})

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(file, parameters, optimizer, {"step": 2})
    assert load_checkpoint(file, parameters, optimizer) == {"step": 1}


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "gone"])
def test_a_damaged_file(tmp_path, damage):
    file = tmp_path / "last.safetensors"
    _, _, parameters, optimizer = model_and_optimizer(0)
    save_checkpoint(file, parameters, optimizer, {"step": 1})
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        save_file(load_file(file), file)  # the tensors without the state
    else:
        file.unlink()
    with pytest.raises(FolderError, match=r"last\.safetensors (cannot be read|is not a checkpoint)") as caught:
        load_checkpoint(file, parameters, optimizer)
    assert "--force" in str(caught.value)


def test_a_checkpoint_of_another_model(tmp_path):
    file = tmp_path / "last.safetensors"
    model, _, parameters, _ = model_and_optimizer(0)
    save_checkpoint(file, parameters, None, {"step": 1})
    fewer = {name: value for name, value in parameters.items() if name != "head.classifier.bias"}
    reshaped = parameters | {"head.classifier.bias": torch.nn.Parameter(torch.zeros(3))}
    for other in (fewer, reshaped, trained_parameters(model, None)):
        with pytest.raises(FolderError, match="belongs to another model"):
            load_checkpoint(file, other)
