"""The core's own components, registered by the same hook as anyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backbones.hf import HuggingFace
from .backbones.mock import Mock
from .backbones.nano import Nano
from .backbones.scratch import Scratch
from .heads.choice import Choice
from .heads.classifier import Classifier
from .heads.lm import LanguageModel
from .hookspecs import hookimpl
from .metrics.classification import F1, Accuracy, CalibrationError, LogLoss, MatthewsCorrelation
from .metrics.likelihood import BitsPerByte, Perplexity
from .recipe.paths import BUNDLED_RECIPES
from .run_backbone import RunBackbone
from .training.adaptations import Full, HeadOnly, Lora, NoAdaptation

if TYPE_CHECKING:
    from .plugins import Register


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Register heads, metrics, backbones, adaptations and the bundled recipes."""
    for head in (Choice, Classifier, LanguageModel):
        register.head(head)
    for metric in (Accuracy, F1, MatthewsCorrelation, LogLoss, CalibrationError, Perplexity, BitsPerByte):
        register.metric(metric)
    for backbone in (HuggingFace, RunBackbone, Nano, Scratch, Mock):
        register.backbone(backbone)
    for adaptation in (NoAdaptation, Lora, HeadOnly, Full):
        register.adaptation(adaptation)
    register.recipes(next(folder for folder in BUNDLED_RECIPES if folder.is_dir()))
