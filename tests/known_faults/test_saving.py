"""What is saved or exported is not what was scored; names that match nothing; numbers of another precision."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path

import pytest
from small_runs import run, samples

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


def test_lora_on_a_tied_embedding_is_merged_into_the_embedding_alone(recipe: Path) -> None:
    """Merging changed the LM head, which shares the embedding's weights; the export must score as the run does."""
    done = run(recipe, "a", *SHORT, "adapt.targets=[wte]", "train.learning_rate=0.1")
    merged = export_run(done.folder, recipe.parent / "merged", load_plugins())
    again = run(recipe, "b", f"backbone={merged}", *SCORE_ONLY)
    assert [list(row.scores) for row in samples(again.folder)] == scores_of(done.folder)


def test_an_adapter_tied_across_embedding_and_lm_head_is_refused(recipe: Path) -> None:
    """PEFT loads another adapter than it has saved; it is refused before the training."""
    with pytest.raises(UserError, match=r"ensure_weight_tying.*not loaded by PEFT as it was saved"):
        run(recipe, "a", *SHORT, "adapt.targets=[wte,lm_head]", "adapt.peft={ensure_weight_tying: true}")


def test_full_training_of_a_lora_run_keeps_the_whole_model(recipe: Path) -> None:
    """Only the old adapter was saved and the trained weights were lost; the folder must hold the whole model."""
    first = run(recipe, "first", *SHORT)
    second = run(recipe, "second", f"backbone={first.folder}", "adapt=full", *SHORT[:3])
    assert (second.folder / "model" / "config.json").is_file()
    assert predicted(second.folder, samples(second.folder)) == scores_of(second.folder)


def test_an_initialisation_that_fails_on_conv1d_is_refused(recipe: Path) -> None:
    """It was an internal error in the first step; the adapter is tried when it is applied."""
    with pytest.raises(UserError, match="LoRA cannot be applied to this backbone"):
        run(recipe, "a", *SHORT, "adapt.peft={init_lora_weights: olora}")


def test_an_export_has_the_tokenizer_files_of_the_base(recipe: Path, tiny_gpt2_folder: Path) -> None:
    """transformers 5 wrote a tokenizer class that transformers 4 does not have; the base's own files are copied."""
    base = recipe.parent / "base"
    shutil.copytree(tiny_gpt2_folder, base)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    done = run(recipe, "a", *SHORT, f"backbone={base}")
    merged = export_run(done.folder, recipe.parent / "merged", load_plugins())
    assert json.loads((merged / "tokenizer_config.json").read_text()) == config
    modes = {stat.S_IMODE(file.stat().st_mode) for file in merged.iterdir()}
    assert len(modes) == 1, "safetensors writes files that only their owner can read"


def test_a_run_that_scores_a_classifier_run_answers_as_that_run(recipe: Path) -> None:
    """It looked for the head in its own folder, which trained none; the head comes from the run that it scored."""
    first = run(recipe, "a", *SHORT, "head=classifier")
    second = run(recipe, "b", f"backbone={first.folder}", "head=classifier", *SCORE_ONLY)
    assert predicted(second.folder, samples(second.folder)) == scores_of(first.folder)
    assert left_out(first.folder) == ["head/modules.safetensors"]


def test_a_misspelt_target_is_refused_with_the_name_that_was_meant(recipe: Path) -> None:
    """The target that did exist was trained and the other one ignored."""
    with pytest.raises(UserError, match=re.escape("adapt.targets: 'lm_hed' matches no module")) as caught:
        run(recipe, "a", *SHORT, "adapt.targets=[c_attn,lm_hed]")
    assert "did you mean 'lm_head'" in str(caught.value)


def test_full_training_in_bf16_is_scored_in_bf16(recipe: Path) -> None:
    """It was scored with the fp32 weights of the training, while the signature said bf16."""
    done = run(recipe, "a", "adapt=full", *SHORT[:3], "runtime.precision=bf16")
    again = run(recipe, "b", f"backbone={done.folder}", *SCORE_ONLY, "runtime.precision=bf16")
    assert [list(row.scores) for row in samples(again.folder)] == [list(row.scores) for row in samples(done.folder)]


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows(recipe: Path, tiny_gpt2_folder: Path) -> None:
    """It was an IndexError after the training; the model is refused when it is loaded."""
    from transformers import AutoTokenizer

    base = recipe.parent / "base"
    shutil.copytree(tiny_gpt2_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["zzqq"])
    tokenizer.save_pretrained(base)
    with pytest.raises(BackboneError, match=r"ids up to 400 \('zzqq'\), and the embedding of the model has 400 rows"):
        run(recipe, "a", *SHORT, f"backbone={base}")


def test_an_adapter_that_is_saved_wrongly_fails_the_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the cause: what was saved is loaded from disk and compared, and the checkpoints are kept."""
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


def test_a_warm_up_longer_than_the_training_is_refused(recipe: Path) -> None:
    """The learning rate never reached its peak, without a word."""
    with pytest.raises(UserError, match="got 300 steps, but the training has 3 steps"):
        run(recipe, "a", *SHORT[:2], "train.warmup=300")


def test_a_learning_rate_beyond_all_use_is_refused(recipe: Path) -> None:
    """1e38 was an internal error in the optimiser."""
    with pytest.raises(UserError, match=r"train\.learning_rate"):
        run(recipe, "a", "train.learning_rate=1e38")


def test_the_trained_weights_stay_in_the_signature(recipe: Path) -> None:
    """A model that was loaded again has nothing marked as trained, and runs would share their cached replies."""
    trained = set()
    for rate in ("1e-3", "1e-2"):
        done = run(recipe, rate, *SHORT, f"train.learning_rate={rate}")
        trained |= set(re.findall(r"trained:(\w+)", done.scores["accuracy"].way))
    assert len(trained) == 2
