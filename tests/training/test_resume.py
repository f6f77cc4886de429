"""Damaged and foreign checkpoints: the same result as without an interruption, and a warning, or a refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_runs import run

from gpttasks.errors import FolderError, Interrupted
from gpttasks.training import trainer
from gpttasks.training.checkpoint import BEST, LAST, PREVIOUS

ADAPTER = "adapter/adapter_model.safetensors"
OPTIONS = (
    "train.validate={every: 2, limit: 6, best: log_loss}",
    "train.learning_rate=3.0e-2",
    "runtime.checkpoint_minutes=0.00001",
    "score.metrics=[log_loss]",
    "runtime.cache=false",
)
BIT = 3
REFUSED = "refused"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1 << BIT
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zeros(file: Path) -> None:
    size = file.stat().st_size // 2
    file.write_bytes(file.read_bytes()[:size] + bytes(size))


def damage_both(folder: Path) -> None:
    flip(folder / LAST)
    cut(folder / PREVIOUS)


DAMAGES = {
    "nothing": (lambda folder: None, None),
    "a bit of last": (lambda folder: flip(folder / LAST), "previous.safetensors, step "),
    "last is cut": (lambda folder: cut(folder / LAST), "previous.safetensors, step "),
    "last is gone": (lambda folder: (folder / LAST).unlink(), None),
    "best is half zeros": (lambda folder: zeros(folder / BEST), REFUSED),
    "best is gone": (lambda folder: (folder / BEST).unlink(), REFUSED),
    "best is the newest": (
        lambda folder: shutil.copy(folder / LAST, folder / BEST),
        REFUSED,
    ),
    "last is the best": (lambda folder: shutil.copy(folder / BEST, folder / LAST), "from"),
}


def interrupt(recipe: Path, monkeypatch: pytest.MonkeyPatch, step: int, folder: str = "out") -> Path:
    account = trainer.Trainer._account

    def interrupted(self: trainer.Trainer, *values: object) -> None:
        account(self, *values)
        if self.state.step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_account", interrupted)
        with pytest.raises(Interrupted):
            run(recipe, folder, *OPTIONS)
    return recipe.parent / folder / "checkpoints"


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    return {}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_result_is_that_of_an_undisturbed_run(recipe, monkeypatch, undisturbed, name):
    damage, message = DAMAGES[name]
    if not undisturbed:
        whole = run(recipe, "whole", *OPTIONS)
        undisturbed["adapter"] = (whole.folder / ADAPTER).read_bytes()
        assert whole.record.training.best_step < whole.record.training.step - 1, "the best is not the last"
    checkpoints = interrupt(recipe, monkeypatch, 7)
    assert {file.name for file in checkpoints.iterdir()} == {LAST, PREVIOUS, BEST}
    damage(checkpoints)
    if message is REFUSED:
        with pytest.raises(FolderError, match=r"cannot go on from any checkpoint .* needs the best weights"):
            run(recipe, "out", *OPTIONS)
        shutil.rmtree(checkpoints)  # as the message says
        done = run(recipe, "out", *OPTIONS)
        assert (done.folder / ADAPTER).read_bytes() == undisturbed["adapter"]
        return
    done = run(recipe, "out", *OPTIONS)
    assert (done.folder / ADAPTER).read_bytes() == undisturbed["adapter"]
    said = [warning for warning in done.record.warnings if "the training goes on from" in warning]
    assert len(said) == (message is not None)
    assert all(message in warning for warning in said)


def test_a_checkpoint_of_another_run_is_not_used(recipe, monkeypatch):
    """Its recipe is the same, and so are model and data."""
    mine = interrupt(recipe, monkeypatch, 3)
    other = interrupt(recipe, monkeypatch, 7, "other")
    shutil.copy(other / LAST, mine / LAST)
    done = run(recipe, "out", *OPTIONS)
    (said,) = [warning for warning in done.record.warnings if "the training goes on from" in warning]
    assert "belongs to another run" in said
    assert len(done.record.training.resumed_at) == 1


def test_without_a_checkpoint_that_can_be_used_the_run_is_refused(recipe, monkeypatch):
    checkpoints = interrupt(recipe, monkeypatch, 7)
    damage_both(checkpoints)
    with pytest.raises(
        FolderError, match=r"cannot go on from any checkpoint .*last\.safetensors.*previous\.safetensors"
    ):
        run(recipe, "out", *OPTIONS)
