"""The core's own components, registered by the same hook as anyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backbones.hf import HuggingFace
from .backbones.mock import Mock
from .backbones.nano import Nano
from .backbones.scratch import Scratch
from .heads.choice import Choice
from .heads.classifier import Classifier
from .heads.generate import GenerateText
from .heads.lm import LanguageModel
from .heads.multilabel import MultiLabel
from .heads.regression import Regression
from .heads.span import Span
from .hookspecs import hookimpl
from .metrics.base import Metric
from .metrics.choice import NormalisedAccuracy
from .metrics.classification import F1, Accuracy, CalibrationError, LogLoss, MatthewsCorrelation
from .metrics.generation import Distinct, Nist, Repetition, Rouge
from .metrics.likelihood import BitsPerByte, BytePerplexity, GreedyMatch, Perplexity, WordPerplexity
from .metrics.multilabel import HammingLoss, MeanAveragePrecision, MultiLabelF1, SubsetAccuracy
from .metrics.regression import MeanAbsoluteError, MeanSquaredError, Pearson, Spearman
from .metrics.sacrebleu_metrics import Bleu, Chrf, Ter
from .metrics.text import ExactMatch, TokenF1
from .recipe.paths import BUNDLED_RECIPES
from .run_backbone import RunBackbone
from .training.adaptations import Full, HeadOnly, Lora, NoAdaptation

if TYPE_CHECKING:
    from .plugins import Register

METRICS: tuple[type[Metric], ...] = (
    *(Accuracy, NormalisedAccuracy, F1, MatthewsCorrelation, LogLoss, CalibrationError),
    *(MultiLabelF1, SubsetAccuracy, HammingLoss, MeanAveragePrecision),
    *(Pearson, Spearman, MeanSquaredError, MeanAbsoluteError),
    *(Perplexity, WordPerplexity, BytePerplexity, BitsPerByte, GreedyMatch),
    *(ExactMatch, TokenF1, Bleu, Chrf, Ter, Nist, Rouge, Distinct, Repetition),
)


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Register heads, metrics, backbones, adaptations and the bundled recipes."""
    for head in (Choice, Classifier, GenerateText, LanguageModel, Span, MultiLabel, Regression):
        register.head(head)
    for metric in METRICS:
        register.metric(metric)
    for backbone in (HuggingFace, RunBackbone, Nano, Scratch, Mock):
        register.backbone(backbone)
    for adaptation in (NoAdaptation, Lora, HeadOnly, Full):
        register.adaptation(adaptation)
    register.recipes(next(folder for folder in BUNDLED_RECIPES if folder.is_dir()))
