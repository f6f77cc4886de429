"""Recipes and options: settings that match nothing, have no effect or cannot work, but were accepted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from small_runs import run

from gpttasks.adaptations.lora import Lora, LoraOptions
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.cli import main
from gpttasks.errors import UserError

SHORT = ("train.epochs=null", "train.steps=3", "train.warmup=0", "adapt.dropout=0")


def test_targets_typo_ignored(recipe: Path) -> None:
    """A LoRA target that matches nothing was ignored if another one matched; it is refused, with a suggestion."""
    with pytest.raises(UserError, match=re.escape("adapt.targets: 'lm_hed' matches no module")) as caught:
        run(recipe, "a", *SHORT, "adapt.targets=[c_attn,lm_hed]")
    assert "did you mean 'lm_head'" in str(caught.value)


def test_warm_up_longer_than_the_training(recipe: Path) -> None:
    """The learning rate silently never reached its peak; a warm-up longer than the training is refused."""
    with pytest.raises(UserError, match="got 300 steps, but the training has 3 steps"):
        run(recipe, "a", *SHORT[:2], "train.warmup=300")


def test_warm_up_of_a_part_of_a_step(recipe: Path) -> None:
    """A warm-up of 2.7 steps silently became 2 steps; it is refused."""
    with pytest.raises(UserError, match=r"got 2\.7, expected a whole number of steps or a fraction below 1"):
        run(recipe, "a", "train.warmup=2.7")


def test_learning_rate_beyond_all_use(recipe: Path) -> None:
    """A learning rate of 1e38 caused an internal error in the optimiser; it is refused when the recipe is read."""
    with pytest.raises(UserError, match=r"train\.learning_rate"):
        run(recipe, "a", "train.learning_rate=1e38")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("{modules_to_save: [lm_haed]}", "'lm_haed' matches no module of the backbone; did you mean 'lm_head'"),
        ("{exclude_modules: [c_fcc]}", "'c_fcc' matches no module of the backbone; did you mean 'c_fc'"),
        ("{rank_pattern: {c_atn: 64}}", "'c_atn' matches no module of the backbone; did you mean 'c_attn'"),
        ("{layers_to_transform: [0, 99]}", "layer 99 has no target"),
        ("{init_lora_weights: eva}", "computed from examples that gpttasks does not give to PEFT"),
        ("{use_qalora: true}", "'use_qalora' has no effect here"),
    ],
)
def test_options_of_peft_that_name_nothing_or_change_nothing(recipe: Path, options: str, named: str) -> None:
    """PEFT options that match nothing or have no effect were ignored; they are refused with the valid names or the
    reason.
    """
    with pytest.raises(UserError, match=re.escape(named)):
        run(recipe, "a", *SHORT, "adapt.targets=[c_attn]", f"adapt.peft={options}")


def test_all_linear_reaches_no_expert(tiny_folder) -> None:
    """On a mixture of experts, `all-linear` silently adapted only the attention; the run reports it."""
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_folder("gpt_oss"))))
    backbone.load(LoadSettings())
    adaptation = Lora(LoraOptions())
    adaptation.apply(backbone)
    assert "reaches no expert" in adaptation.notes[0]


def test_check_accepts_a_backbone_that_does_not_exist(
    recipe: Path, tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` accepted a missing run, and a folder with only an adapter, as a backbone; both are refused."""
    adapter = recipe.parent / "adapter"
    shutil.copytree(run(recipe, "a", *SHORT).folder / "adapter", adapter)
    for backbone, message in (("runs/nonexistent", "there is no run in"), (adapter, "without its base model")):
        assert main(["check", str(recipe), f"backbone={backbone}"]) == 2
        assert message in capsys.readouterr().err


def test_half_precision_on_a_cpu(recipe: Path) -> None:
    """fp16 was accepted on a CPU, which emulates it at 13 tokens per second; it is refused."""
    with pytest.raises(UserError, match=r"runtime\.precision: fp16 on a CPU is emulated"):
        run(recipe, "a", "runtime.precision=fp16")
