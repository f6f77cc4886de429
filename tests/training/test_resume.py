"""Damaged and foreign checkpoints: the same result as without an interruption, and a warning, or a refusal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import run, write_recipe

from gpttasks import Run
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


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 8
    file.write_bytes(content)


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
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path) -> tuple[Path, bytes]:
    """A recipe, beside it a run that was interrupted in the folder ``interrupted``, and the adapter of a whole run."""
    recipe = write_recipe(tmp_path_factory.mktemp("runs"), tiny_gpt2_folder)
    whole = run(recipe, "whole", *OPTIONS)
    assert whole.record.training.best_step < whole.record.training.step - 1, "the best is not the last"
    with pytest.MonkeyPatch.context() as monkeypatch:
        checkpoints = interrupt(recipe, monkeypatch, 7, "interrupted")
    assert {file.name for file in checkpoints.iterdir()} == {LAST, PREVIOUS, BEST}
    return recipe, (whole.folder / ADAPTER).read_bytes()


@pytest.fixture
def resumed(undisturbed) -> Iterator[Path]:
    """The recipe, and beside it a copy of the interrupted run in the folder ``out``."""
    recipe, _ = undisturbed
    out = recipe.parent / "out"
    shutil.copytree(recipe.parent / "interrupted", out)
    yield recipe
    shutil.rmtree(out)


def said_of(done: Run) -> list[str]:
    return [warning for warning in done.record.warnings if "the training goes on from" in warning]


@pytest.mark.parametrize(("damaged", "message"), [(None, None), (LAST, "previous.safetensors, step ")])
def test_the_result_is_that_of_an_undisturbed_run(resumed, undisturbed, damaged, message):
    if damaged:
        flip(resumed.parent / "out" / "checkpoints" / damaged)
    done = run(resumed, "out", *OPTIONS)
    assert (done.folder / ADAPTER).read_bytes() == undisturbed[1]
    assert len(said_of(done)) == (message is not None)
    assert all(message in warning for warning in said_of(done))


def test_without_the_best_weights_the_run_is_refused_until_it_begins_again(resumed, undisturbed):
    checkpoints = resumed.parent / "out" / "checkpoints"
    (checkpoints / BEST).unlink()
    with pytest.raises(FolderError, match=r"cannot go on from any checkpoint .* needs the best weights"):
        run(resumed, "out", *OPTIONS)
    shutil.rmtree(checkpoints)  # as the message says
    done = run(resumed, "out", *OPTIONS)
    assert (done.folder / ADAPTER).read_bytes() == undisturbed[1]


def test_a_checkpoint_of_another_run_is_not_used(resumed, monkeypatch):
    """Its recipe is the same, and so are model and data."""
    other = interrupt(resumed, monkeypatch, 3, "other")
    shutil.copy(other / LAST, resumed.parent / "out" / "checkpoints" / LAST)
    done = run(resumed, "out", *OPTIONS)
    (said,) = said_of(done)
    assert "belongs to another run" in said
    assert len(done.record.training.resumed_at) == 1


def test_without_a_checkpoint_that_can_be_used_the_run_is_refused(resumed):
    checkpoints = resumed.parent / "out" / "checkpoints"
    for name in (LAST, PREVIOUS):
        flip(checkpoints / name)
    with pytest.raises(
        FolderError, match=r"cannot go on from any checkpoint .*last\.safetensors.*previous\.safetensors"
    ):
        run(resumed, "out", *OPTIONS)
