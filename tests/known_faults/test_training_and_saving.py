"""Training and saving: the model that is saved, exported or reported is not the one that was trained and scored."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path

import pytest
from small_runs import run, samples

from gpttasks.cli import main
from gpttasks.errors import BackboneError, RunFailed, UserError
from gpttasks.pipeline.export import export_run, left_out
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

SCORE_ONLY = ("adapt=none", "train=null")
SHORT = ("train.epochs=null", "train.steps=3", "train.warmup=0", "adapt.dropout=0")


def scores_of(folder: Path) -> list:
    return [pytest.approx(list(row.scores), abs=1e-5) for row in samples(folder)]


def predicted(folder: Path, rows: list) -> list[list[float]]:
    predictor = Predictor(folder, load_plugins())
    texts = [row.input.removesuffix("\nSentiment:") for row in rows]
    return [list(one.scores.values()) for one in predictor.predict(predictor.text_rows(texts))]


def test_tied_embeddings_merge(recipe: Path) -> None:
    """Merging an adapter of the embedding also changed the LM head, which shares its weights; the export gives the
    run's scores.
    """
    done = run(recipe, "a", *SHORT, "adapt.targets=[wte]", "train.learning_rate=0.1")
    merged = export_run(done.folder, recipe.parent / "merged", load_plugins())
    again = run(recipe, "b", f"backbone={merged}", *SCORE_ONLY)
    assert [list(row.scores) for row in samples(again.folder)] == scores_of(done.folder)


def test_ensure_weight_tying_reload(recipe: Path) -> None:
    """PEFT does not load an adapter for tied weights as it was saved; such an adapter is refused before training."""
    with pytest.raises(UserError, match=r"ensure_weight_tying.*not loaded by PEFT as it was saved"):
        run(recipe, "a", *SHORT, "adapt.targets=[wte,lm_head]", "adapt.peft={ensure_weight_tying: true}")


def test_lora_then_full_lost(recipe: Path) -> None:
    """Full training of a LoRA run saved the old adapter and lost the trained weights; all weights are saved."""
    first = run(recipe, "first", *SHORT)
    second = run(recipe, "second", f"backbone={first.folder}", "adapt=full", *SHORT[:3])
    assert (second.folder / "model" / "config.json").is_file()
    assert predicted(second.folder, samples(second.folder)) == scores_of(second.folder)


def test_olora_conv1d(recipe: Path) -> None:
    """An initialisation that fails on GPT-2's layers was an internal error; an adapter is tested when it is applied."""
    with pytest.raises(UserError, match="LoRA cannot be applied to this backbone"):
        run(recipe, "a", *SHORT, "adapt.peft={init_lora_weights: olora}")


def test_exported_tokenizer_class(recipe: Path, tiny_gpt2_folder: Path) -> None:
    """transformers 5 saved a tokenizer class that transformers 4 lacks; the files of the base model are copied."""
    base = recipe.parent / "base"
    shutil.copytree(tiny_gpt2_folder, base)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    done = run(recipe, "a", *SHORT, f"backbone={base}")
    merged = export_run(done.folder, recipe.parent / "merged", load_plugins())
    assert json.loads((merged / "tokenizer_config.json").read_text()) == config
    modes = {stat.S_IMODE(file.stat().st_mode) for file in merged.iterdir()}
    assert len(modes) == 1, "safetensors writes files that only their owner can read"


def test_scored_classifier_run_unusable(recipe: Path) -> None:
    """A run that scores another run with a trained head could not predict; it takes the head from that other run."""
    first = run(recipe, "a", *SHORT, "head=classifier")
    second = run(recipe, "b", f"backbone={first.folder}", "head=classifier", *SCORE_ONLY)
    assert predicted(second.folder, samples(second.folder)) == scores_of(first.folder)
    assert left_out(first.folder) == ["head/modules.safetensors"]


def test_full_bf16_scored_fp32(recipe: Path) -> None:
    """Full training in bf16 was scored with the fp32 weights, while the signature said bf16; it is scored in bf16."""
    done = run(recipe, "a", "adapt=full", *SHORT[:3], "runtime.precision=bf16")
    again = run(recipe, "b", f"backbone={done.folder}", *SCORE_ONLY, "runtime.precision=bf16")
    assert [list(row.scores) for row in samples(again.folder)] == [list(row.scores) for row in samples(done.folder)]


def test_vocabulary_mismatch(recipe: Path, tiny_gpt2_folder: Path) -> None:
    """A tokenizer with more tokens than the embedding has rows was an IndexError after training; the model is refused
    at once.
    """
    from transformers import AutoTokenizer

    base = recipe.parent / "base"
    shutil.copytree(tiny_gpt2_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["zzqq"])
    tokenizer.save_pretrained(base)
    with pytest.raises(BackboneError, match=r"ids up to 400 \('zzqq'\), and the embedding of the model has 400 rows"):
        run(recipe, "a", *SHORT, f"backbone={base}")


def test_adapter_saved_wrongly(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrongly saved adapter went unnoticed; it is loaded from disk and compared, and a difference fails the run."""
    from gpttasks.adaptations.lora import Lora

    save = Lora.save

    def lossy(self, backbone, folder):
        import torch
        from safetensors.torch import load_file, save_file

        save(self, backbone, folder)
        file = folder / "adapter_model.safetensors"
        save_file({name: torch.zeros_like(value) for name, value in load_file(file).items()}, file)

    monkeypatch.setattr(Lora, "save", lossy)
    with pytest.raises(RunFailed, match="is not what was trained: a token's log-probability differs"):
        run(recipe, "a", *SHORT)
    assert (recipe.parent / "a" / "checkpoints" / "last.safetensors").exists()


def test_trained_weights_lost_from_the_signature(recipe: Path) -> None:
    """Two trained models loaded from disk could have the same signature and share cached replies; each has its own
    signature.
    """
    trained = set()
    for rate in ("1e-3", "1e-2"):
        done = run(recipe, rate, *SHORT, f"train.learning_rate={rate}")
        trained |= set(re.findall(r"trained:(\w+)", done.scores["accuracy"].way))
    assert len(trained) == 2


STEP_BY_STEP = ["train.epochs=null", "train.tokens_per_step=1"]
EARLY = ["train.epochs=9", "train.tokens_per_step=1", "train.validate={every: 1, best: accuracy, patience: 2}"]


@pytest.mark.parametrize(
    ("changes", "seen", "available"),
    [
        ([*STEP_BY_STEP, "train.steps=2"], 2, 24),
        ([*STEP_BY_STEP, "train.steps=2", "head=lm", "score.metrics=[perplexity]"], 2, 24),
        (["train.epochs=0.5"], 12, 24),
        (["train.epochs=2"], 24, 24),
        (EARLY, None, 22),
    ],
)
def test_examples_seen_and_available(recipe, capfd, changes, seen, available):
    """A run of 4 steps reported 29,000 training examples, although it saw only 21; both numbers are given."""
    done = run(recipe, "out", *changes)
    training = done.record.training
    if seen is None:  # stopped early, with one example a step
        assert training.stopped_early
        seen = training.step
    assert (training.examples_seen, training.examples) == (seen, available)
    assert f"trained on {seen} of {available} examples" in capfd.readouterr().err
    page = (done.folder / "report.html").read_text("utf-8")
    shown = f"{seen} of {available} available" if seen < available else available
    assert f"It was trained on {shown} examples." in page


def test_raw_warnings_and_warnings_printed_twice(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """PEFT's warnings were printed with their file names, and a run's warnings twice; each is printed once, without a
    file name.
    """
    done = run(recipe, "out", *SHORT, "adapt.targets=[wte]", "adapt.peft={fan_in_fan_out: true}")
    err = capfd.readouterr().err
    assert done.record.warnings
    assert [err.count(f"warning: {warning}") for warning in done.record.warnings] == [1] * len(done.record.warnings)
    assert "UserWarning" not in err
    assert "site-packages" not in err


def test_training_that_trains_nothing(recipe: Path) -> None:
    """Training for three optimiser steps gave no warning; now it does."""
    done = run(recipe, "out", *SHORT)
    assert any("3 optimiser steps, and fewer than 20 seldom change a model" in text for text in done.record.warnings)


def test_check_says_that_a_training_is_too_short_to_change_anything(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 rows gave only two optimiser steps, which the user saw only after training; `check --data` warns before."""
    assert main(["check", str(recipe), "--data", "train.tokens_per_step=8192", "train.epochs=2"]) == 0
    said = capsys.readouterr().err
    assert "training: about 2 steps, about 1,516 tokens, about " in said
    assert "warning: the training will have about 2 optimiser steps, and fewer than 20 seldom change a model" in said
