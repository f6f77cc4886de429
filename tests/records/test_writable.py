"""What an unfinished run finds in its folder is checked before it begins its work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_runs import run as run_recipe

from gpttasks import Run
from gpttasks.errors import FolderError, Interrupted
from gpttasks.training import trainer


def run(recipe: Path, folder: str) -> Run:
    return run_recipe(recipe, folder, "train.epochs=1", "score.metrics=[accuracy]", "runtime.cache=false")


def interrupted(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a run and interrupt it after its second step."""
    account = trainer.Trainer._account

    def after_two_steps(self: trainer.Trainer, *values: object) -> None:
        account(self, *values)
        if self.state.step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_account", after_two_steps)
        with pytest.raises(Interrupted):
            run(recipe, "out")


@pytest.mark.parametrize("name", ["checkpoints", "head", "adapter"])
def test_what_cannot_be_written_to_is_named_before_the_work(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    interrupted(recipe, monkeypatch)
    place = recipe.parent / "out" / name
    if not place.exists():
        place.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place and access(path, mode))
    before = sorted((recipe.parent / "out").rglob("*"))
    with pytest.raises(FolderError, match=rf"the (folder|file) {place} cannot be written to"):
        run(recipe, "out")
    assert sorted((recipe.parent / "out").rglob("*")) == before
    monkeypatch.undo()
    assert run(recipe, "out").state == "finished"


def test_settings_of_another_run_are_refused_before_the_work(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(recipe, monkeypatch)
    tuned = recipe.parent / "out" / "head" / "tuned.json"
    tuned.parent.mkdir(exist_ok=True)
    tuned.write_text('{"threshold": 0.5}')
    with pytest.raises(FolderError, match=r"tuned\.json is not a file of this run: its head 'choice'") as failed:
        run(recipe, "out")
    assert failed.value.problems[0].hint == "remove it, and run the same command again"
    tuned.unlink()
    assert run(recipe, "out").state == "finished"
