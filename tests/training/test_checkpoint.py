"""The training state in one file."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpttasks.errors import FolderError
from gpttasks.training.checkpoint import (
    BEST,
    LAST,
    PREVIOUS,
    read_checkpoint,
    save_checkpoint,
    trained_parameters,
    trained_tensors,
)

RUN = "the run"


def save(file, parameters, optimizer, state, identity=RUN):
    save_checkpoint(file, parameters, optimizer, state, identity)


def load(file, parameters, optimizer=None):
    found = read_checkpoint(file, file.stem, [RUN, "the run before"])
    found.restore(parameters, optimizer)
    return found.state


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
    save(file, parameters, optimizer, state)
    assert [one.name for one in file.parent.iterdir()] == ["last.safetensors"], "nothing is left aside"
    other_model, other_heads, other, other_optimizer = model_and_optimizer(1)
    assert load(file, other, other_optimizer) == state
    for _ in range(2):
        step(model, heads, optimizer)
        step(other_model, other_heads, other_optimizer)
    assert all(torch.equal(value, other[name]) for name, value in parameters.items())


def test_weights_alone(tmp_path):
    file = tmp_path / "best.safetensors"
    _, _, parameters, _ = model_and_optimizer(0, steps=1)
    save(file, parameters, None, {"step": 1})
    _, _, other, optimizer = model_and_optimizer(1)
    assert load(file, other) == {"step": 1}
    assert all(torch.equal(value, other[name]) for name, value in parameters.items())
    assert not optimizer.state


def test_a_checkpoint_is_replaced_as_a_whole(tmp_path, monkeypatch):
    file = tmp_path / "last.safetensors"
    _, _, parameters, optimizer = model_and_optimizer(0)
    save(file, parameters, optimizer, {"step": 1})

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(file, parameters, optimizer, {"step": 2})
    assert load(file, parameters, optimizer) == {"step": 1}


def test_a_damaged_file(tmp_path):
    """Wherever a bit is flipped or the file is cut, it is noticed."""
    file = tmp_path / "last.safetensors"
    _, _, parameters, optimizer = model_and_optimizer(0, steps=1)
    save(file, parameters, optimizer, {"step": 1})
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        before = {name: value.clone() for name, value in parameters.items()}
        with pytest.raises(FolderError, match=r"last\.safetensors"):
            load(file, parameters, optimizer)
        assert all(torch.equal(value, before[name]) for name, value in parameters.items())
    for length in (0, 7, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(FolderError, match=r"last\.safetensors cannot be read"):
            load(file, parameters, optimizer)
    file.unlink()
    with pytest.raises(FolderError, match=r"last\.safetensors cannot be read"):
        load(file, parameters, optimizer)


def test_a_file_of_another_program_kind_or_run(tmp_path):
    file = tmp_path / "last.safetensors"
    _, _, parameters, optimizer = model_and_optimizer(0)
    save(file, parameters, optimizer, {"step": 1}, "the run before")
    assert load(file, parameters) == {"step": 1}
    best = tmp_path / "best.safetensors"
    file.rename(best)
    with pytest.raises(FolderError, match="of the kind 'last', expected 'best'"):
        load(best, parameters)
    save(file, parameters, optimizer, {"step": 1}, "another run")
    with pytest.raises(FolderError, match="written by another run"):
        load(file, parameters)
    save_file(load_file(file), file)  # the tensors without the state
    with pytest.raises(FolderError, match="has no checksum"):
        load(file, parameters)


def test_the_checkpoint_before_is_kept(tmp_path):
    _, _, parameters, optimizer = model_and_optimizer(0)
    for step in (1, 2, 3):
        save(tmp_path / "last.safetensors", parameters, optimizer, {"step": step})
        save(tmp_path / "best.safetensors", parameters, None, {"step": step})
    assert {file.name for file in tmp_path.iterdir()} == {LAST, PREVIOUS, BEST}
    assert load(tmp_path / "last.safetensors", parameters) == {"step": 3}
    assert read_checkpoint(tmp_path / "previous.safetensors", "last", [RUN]).step == 2


def test_buffers_belong_to_it(tmp_path):
    modules = torch.nn.ModuleDict({"norm": torch.nn.BatchNorm1d(2)})
    trained = trained_tensors(torch.nn.Linear(1, 1).requires_grad_(False), modules)
    names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert {f"head.norm.{name}" for name in names} == {*trained}
    modules["norm"](torch.arange(8.0).reshape(4, 2))
    save(tmp_path / "best.safetensors", trained, None, {"step": 1})
    expected = {name: value.clone() for name, value in modules.state_dict().items()}
    modules["norm"](torch.ones(4, 2))
    load(tmp_path / "best.safetensors", trained)
    assert all(torch.equal(value, expected[name]) for name, value in modules.state_dict().items())


def test_a_checkpoint_of_another_model(tmp_path):
    file = tmp_path / "last.safetensors"
    model, _, parameters, _ = model_and_optimizer(0)
    save(file, parameters, None, {"step": 1})
    fewer = {name: value for name, value in parameters.items() if name != "head.classifier.bias"}
    reshaped = parameters | {"head.classifier.bias": torch.nn.Parameter(torch.zeros(3))}
    for other in (fewer, reshaped, trained_parameters(model, None)):
        with pytest.raises(FolderError, match="belongs to another model"):
            load(file, other)
