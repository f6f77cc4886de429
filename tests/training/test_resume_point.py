"""From which checkpoint a training goes on when files are damaged, foreign or missing; the oracle is the undisturbed
training.
"""

import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from test_trainer import StopAt, make, weights

from gpttasks import remembered_digests
from gpttasks.errors import FolderError, Interrupted
from gpttasks.training import checkpoint
from gpttasks.training.checkpoint import load_checkpoint, read_header, save_checkpoint, saved_buffers, trained_state
from gpttasks.training.kept_states import KeptStates, buffers_unchanged
from gpttasks.training.resume_point import find_resume_point, saved_step
from gpttasks.training.state import TrainingState

SCORES = [0.5, 0.9, 0.6, 0.7, 0.1, 0.2]
OPTIONS = {"validate": {"every": 1, "best": "accuracy"}, "learning_rate": 1e-2}


def trainer(folder, path, *, warnings=None, identity="a", stop=None):
    def score():
        return {"accuracy": SCORES[made.trainer.state.step - 1]}

    settings = {"validate": score, "identity": identity, "warn": ([] if warnings is None else warnings).append}
    stop_asked = StopAt(stop) if stop else None
    made = make(folder, path, settings=settings | ({"stop_asked": stop_asked} if stop_asked else {}), **OPTIONS)
    if stop_asked:
        stop_asked.made = made
    return made


def interrupted(folder, path, stop, identity="a"):
    made = trainer(folder, path, stop=stop, identity=identity)
    with pytest.raises(Interrupted):
        made.trainer.fit(made.items)
    return path / "checkpoints"


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)


def half_zeros(file):
    size = file.stat().st_size // 2
    file.write_bytes(file.read_bytes()[:size] + bytes(size))


def best_instead(file):
    shutil.copy(file.with_name("best.safetensors"), file)


def last_instead(file):
    shutil.copy(file.with_name("last.safetensors"), file)


def folder_instead(file):
    file.unlink()
    file.mkdir()


def remove(file):
    file.unlink()


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def whole(tiny_gpt2_folder, tmp_path_factory):
    made = trainer(tiny_gpt2_folder, tmp_path_factory.mktemp("whole"))
    state = made.trainer.fit(made.items)
    assert state.best_step == 2
    return weights(made)


@pytest.mark.parametrize(
    ("name", "damage", "stop", "resumed", "said"),
    [
        ("last", cut, 4, 3, "cannot be read"),
        ("last", flip, 4, 3, "is damaged"),
        ("last", folder_instead, 4, 3, "cannot be read"),
        ("last", best_instead, 4, 3, "of the kind 'best', expected 'state'"),
        ("last", remove, 4, 3, None),  # as after a kill between two renames
        ("best", flip, 2, 2, "is damaged"),  # the newest state has the best weights itself
        ("best", flip, 3, 3, "is damaged"),  # the state before has them
        ("best", remove, 3, 3, None),
        ("best", folder_instead, 3, 3, "cannot be read"),
    ],
)
def test_the_result_is_that_of_the_undisturbed_training(
    tiny_gpt2_folder, tmp_path, whole, name, damage, stop, resumed, said
):
    checkpoints = interrupted(tiny_gpt2_folder, tmp_path, stop)
    damage(checkpoints / f"{name}.safetensors")
    assert saved_step(checkpoints) == resumed
    warnings = []
    again = trainer(tiny_gpt2_folder, tmp_path, warnings=warnings)
    state = again.trainer.fit(again.items)
    assert state.resumed_at == [resumed]
    assert (said in warnings[0]) if said else warnings == []
    for tensor, value in whole.items():
        assert torch.equal(value, weights(again)[tensor]), tensor


@pytest.mark.parametrize(
    ("damage", "stop", "said"),
    [
        (last_instead, 4, "of the kind 'state', expected 'best'"),
        (last_instead, 5, "of the kind 'state', expected 'best'"),
        (half_zeros, 4, "is damaged"),
        (remove, 4, "cannot go on"),
    ],
)
def test_best_weights_that_are_lost_are_never_replaced_by_others(tiny_gpt2_folder, tmp_path, damage, stop, said):
    checkpoints = interrupted(tiny_gpt2_folder, tmp_path, stop)
    damage(checkpoints / "best.safetensors")
    with pytest.raises(FolderError, match=r"cannot go on .*needs the best weights, of step 2") as caught:
        trainer(tiny_gpt2_folder, tmp_path)
    assert said in str(caught.value)
    assert (checkpoints / "last.safetensors").exists()


def test_a_checkpoint_of_another_run_is_not_used(tiny_gpt2_folder, tmp_path):
    foreign = interrupted(tiny_gpt2_folder, tmp_path / "other", 3, identity="b")
    checkpoints = interrupted(tiny_gpt2_folder, tmp_path / "own", 3)
    shutil.copy(foreign / "last.safetensors", checkpoints / "last.safetensors")
    point = find_resume_point(checkpoints, "a")
    assert point.file.name == "previous.safetensors"
    assert "belongs to another run" in point.problems[0]
    shutil.rmtree(checkpoints)
    shutil.copytree(foreign, checkpoints)
    with pytest.raises(FolderError, match="belongs to another run"):
        find_resume_point(checkpoints, "a")


def test_every_flipped_byte_is_noticed(tmp_path):
    file, tensors = tmp_path / "last.safetensors", {"weight": torch.arange(6.0), "mean": torch.zeros(2)}
    save_checkpoint(file, tensors, None, {"step": 3}, identity="a")
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(FolderError):
            read_header(file, "a")
    file.write_bytes(content)
    assert read_header(file, "a").step == 3


def test_a_checkpoint_is_hashed_once_and_a_change_before_it_is_loaded_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered_digests, "JUST_CHANGED", -1.0)
    file, tensors, hashed = tmp_path / "last.safetensors", {"weight": torch.arange(600.0)}, []
    real = checkpoint.state_digest
    monkeypatch.setattr(checkpoint, "state_digest", lambda state: hashed.append(len(state)) or real(state))
    save_checkpoint(file, tensors, None, {"step": 3}, identity="a")
    hashed.clear()
    assert saved_step(tmp_path) == 3
    header = find_resume_point(tmp_path, "a").header
    target = {"weight": torch.zeros(600)}
    assert load_checkpoint(file, target, identity="a", header=header) == {"step": 3}
    assert torch.equal(target["weight"], tensors["weight"])
    assert hashed == [1]
    flip(file)
    target["weight"].zero_()
    with pytest.raises(FolderError, match="was changed after it had been checked"):
        load_checkpoint(file, target, identity="a", header=header)
    assert not target["weight"].any()
    with pytest.raises(FolderError, match="is damaged"):
        read_header(file, "a")


@pytest.mark.parametrize(
    "change", [flip, lambda file: save_checkpoint(file, {"weight": torch.ones(6)}, None, {"step": 4})]
)
def test_a_change_of_a_file_that_was_just_written_is_noticed(tmp_path, change):
    file = tmp_path / "last.safetensors"
    save_checkpoint(file, {"weight": torch.arange(6.0)}, None, {"step": 3})
    header = read_header(file, "")
    change(file)
    with pytest.raises(FolderError, match=r"cannot be read|was changed"):
        load_checkpoint(file, {"weight": torch.zeros(6)}, header=header)


def test_the_scaler_of_the_loss_goes_on_where_it_was(tiny_gpt2_folder, tmp_path):
    """Accelerate makes a scaler for fp16 on a GPU only; here it is one of the CPU."""

    def scaled(path, stop=None):
        stop_asked = StopAt(stop)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        made = make(tiny_gpt2_folder, path, settings={"stop_asked": stop_asked}, scaler=scaler, steps=8, clip=None)
        stop_asked.made = made
        return made, scaler

    whole, scaler = scaled(tmp_path / "whole")
    whole.trainer.fit(whole.items)
    assert scaler.state_dict()["scale"] == 2.0**10 * 2**4, "it grows after every second step"
    made, _ = scaled(tmp_path / "broken", 3)
    with pytest.raises(Interrupted):
        made.trainer.fit(made.items)
    again, resumed = scaled(tmp_path / "broken")
    again.trainer.fit(again.items)
    assert resumed.state_dict() == scaler.state_dict()
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(again).items())


def normalised():
    torch.manual_seed(0)
    return torch.nn.ModuleDict({"net": torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))})


def test_buffers_are_saved_and_those_of_an_unfinished_step_are_not(tmp_path):
    modules, backbone = normalised(), torch.nn.Linear(1, 1).requires_grad_(False)
    parameters = dict(modules.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values())
    buffers = saved_buffers(backbone, modules)
    assert set(buffers) == {f"head.net.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    kept = KeptStates(tmp_path, "a", parameters, buffers, optimizer)
    for _ in range(2):
        kept.begin_step()
        modules["net"](torch.randn(5, 3)).sum().backward()
        optimizer.step()
        kept.end_step()
    wanted = {name: value.clone() for name, value in trained_state(backbone, modules).items()}
    kept.begin_step()
    modules["net"](torch.randn(5, 3))
    kept.undo_unfinished_step()
    kept.save(TrainingState(step=2))
    modules["net"](torch.randn(5, 3))
    assert not torch.equal(buffers["head.net.1.running_mean"], wanted["head.net.1.running_mean"])
    assert kept.load(find_resume_point(tmp_path, "a")).step == 2
    now = trained_state(backbone, modules)
    assert all(torch.equal(value, now[name]) for name, value in wanted.items())


def test_a_buffer_that_is_not_saved_is_no_part_of_a_checkpoint():
    module = torch.nn.Linear(1, 1)
    module.register_buffer("table", torch.zeros(3), persistent=False)
    assert saved_buffers(module, None) == {}


def test_preparing_changes_no_buffer_and_no_mode():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, values):
            self.calls = self.calls + 1  # also in eval mode
            return values

    modules = torch.nn.Sequential(normalised()["net"], Counting())
    modules[0].eval()
    before = {name: value.clone() for name, value in modules.state_dict().items()}
    with buffers_unchanged(modules):
        modules(torch.randn(5, 3))
    assert all(torch.equal(value, before[name]) for name, value in modules.state_dict().items())
    assert [module.training for module in modules] == [False, True]


def test_a_measured_speed_changes_no_buffer(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path)
    norm = torch.nn.BatchNorm1d(2)
    made.head.modules()["norm"] = norm
    measured = type(made.trainer)(
        made.trainer.backbone, made.head, made.trainer.options, made.trainer.accelerator, made.trainer.settings
    )
    loss = made.head.loss

    def normalising(outputs, items):
        norm(torch.randn(4, 2))
        return loss(outputs, items)

    made.head.loss = normalising
    measured.measure(made.items, 0.01)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(2))


def test_a_state_with_other_keys_is_refused(tmp_path):
    save_checkpoint(tmp_path / "last.safetensors", {}, None, {"step": 1, "new": 2}, identity="a")
    kept = KeptStates(tmp_path, "a", {}, {}, torch.optim.AdamW([torch.zeros(1)]))
    with pytest.raises(FolderError, match="no training state of this version"):
        kept.load(find_resume_point(tmp_path, "a"))


def test_the_tensor_that_does_not_fit_is_named(tmp_path):
    file = tmp_path / "last.safetensors"
    save_checkpoint(file, {"a": torch.zeros(2, 3)}, None, {"step": 1})
    with pytest.raises(FolderError, match=r"a is float32 \[2, 3\], expected float16 \[2, 3\]"):
        load_checkpoint(file, {"a": torch.zeros(2, 3, dtype=torch.float16)})
