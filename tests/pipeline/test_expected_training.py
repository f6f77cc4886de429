"""How long a training will be: steps, tokens and time before it begins, and the time left after its first steps."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import run

from gpttasks.cli import main
from gpttasks.pipeline import expected_training
from gpttasks.pipeline.expected_training import TimeLeft, expect_training
from gpttasks.pipeline.session import Session
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe
from gpttasks.training.trainer import Speed, Trainer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_training, "MEASURED_SECONDS", 0.01)


def check(capsys: pytest.CaptureFixture[str], recipe: Path, *changes: str) -> tuple[int, str]:
    status = main(["check", str(recipe), *changes, "--data"])
    return status, capsys.readouterr().err


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_that_of_the_steps_after_the_first() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    said = []
    for step in range(1, 101):  # 40 s for the first step, then 2 s each, of which half is validation
        clock.now += 39 if step == 1 else 1
        with left.paused():
            clock.now += 1
        said.append(left.after_step(step, step / 100))
    assert said[:3] == [None] * 3
    assert (
        said[3]
        == "about 1 min 36 s of training left, at the speed of steps 2 to 4; validation and scoring not included"
    )
    assert said[4:] == [None] * 96, "it is said once"


def test_the_time_left_of_few_long_steps_is_said_after_the_first() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    clock.now = 60
    assert left.after_step(1, 0.5) == (
        "about 1 min 00 s of training left, at the speed of step 1; validation and scoring not included"
    )
    clock.now = 120
    assert left.after_step(2, 1.0) is None


def test_a_resumed_training_is_measured_from_its_own_first_step_on() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    clock.now = 30
    assert left.after_step(51, 0.51) is None
    clock.now = 40
    assert str(left.after_step(52, 0.52)).startswith("about 8 min 00 s of training left, at the speed of step 52;")


def test_nothing_is_said_at_the_end_of_a_short_training() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    for step in (1, 2):
        clock.now += 10 * step - 9
        assert left.after_step(step, step / 2) is None


def test_measuring_changes_no_weight_and_the_work_is_that_of_the_run(recipe: Path) -> None:
    changes = ["train.tokens_per_step=60", "train.epochs=2", "adapt.dropout=0"]
    resolved = load_recipe(str(recipe), changes, load_plugins())
    with Session() as session, session.loaded(session.with_examples(resolved), "cpu", "fp32") as prepared:
        assert prepared.backbone.lm is not None
        before = {name: value.clone() for name, value in prepared.backbone.lm.model.state_dict().items()}
        expected = expect_training(prepared)
        after = prepared.backbone.lm.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    training = run(recipe, "out", *changes).record.training
    assert training is not None
    assert expected.work.tokens == pytest.approx(training.tokens, rel=0.01)
    assert expected.work.steps == pytest.approx(training.step, abs=2)
    assert expected.measured_tokens > 0


def test_the_time_is_that_of_all_tokens_and_of_all_updates(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "measure", lambda *arguments: Speed(500, 0.001, 2.0))
    resolved = load_recipe(str(recipe), ["train={steps: 30, tokens_per_step: 60}"], load_plugins())
    with Session() as session, session.loaded(session.with_examples(resolved), "cpu", "fp32") as prepared:
        expected = expect_training(prepared)
    assert expected.work.steps == 30
    assert expected.seconds == pytest.approx(0.001 * expected.work.tokens + 30 * 2.0)


@pytest.mark.parametrize("head", ["choice", "classifier", "lm"])
def test_check_announces_steps_tokens_and_time(recipe: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = ["score.metrics=[bits_per_byte]"] if head == "lm" else []
    status, err = check(capsys, recipe, f"head={head}", *metrics, "train.epochs=3", "train.tokens_per_step=8192")
    assert status == 0, err
    assert re.search(
        r"^training: about 3 steps, about [\d,]+ tokens, about \d+ s on this machine \(cpu, fp32\)$", err, re.M
    )
    assert re.search(r"^  the time is extrapolated from [\d,]+ tokens of training examples, measured now; ", err, re.M)
    assert "warning: the training will have about 3 optimiser steps, and fewer than 20 seldom change a model" in err


def test_check_does_not_download_a_model(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, err = check(capsys, recipe, "backbone=somebody/some-model")
    assert status == 0, err
    assert (
        "steps, tokens and time are unknown until somebody/some-model is downloaded: gpttasks run downloads it" in err
    )


def test_check_on_a_machine_without_the_recipe_s_device(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    status, err = check(capsys, recipe, "runtime.device=cuda")
    assert status == 0, err
    assert "training: steps, tokens and time are not estimated here: " in err


@pytest.mark.parametrize("changes", [[], ["adapt=none", "train=null"]], ids=["trained", "only scored"])
def test_check_finds_a_tokenizer_with_more_tokens_than_the_model(
    recipe: Path, tiny_gpt2_folder: Path, changes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoTokenizer

    base = recipe.parent / "base"
    shutil.copytree(tiny_gpt2_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["zzqq"])
    tokenizer.save_pretrained(base)
    (base / "model.safetensors").write_bytes(b"not opened")
    status, err = check(capsys, recipe, f"backbone={base}", *changes)
    assert status == 2
    assert "the tokenizer has ids up to 400 ('zzqq'), and the embedding of the model has 400 rows" in err
