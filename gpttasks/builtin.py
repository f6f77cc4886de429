"""The core's components, registered with the same hook as those of plugins; each is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer_kinds import CORE_KINDS
from .data.media import MEDIA_TYPES
from .data.readers import READERS
from .plugins.hookspecs import hookimpl
from .recipe.paths import BUNDLED_RECIPES
from .tasks.filters import FILTERS

if TYPE_CHECKING:
    from .plugins import Register

COMPONENTS = {
    "head": {
        "choice": "heads.choice:Choice",
        "classifier": "heads.classifier:Classifier",
        "generate": "heads.generate:GenerateText",
        "lm": "heads.lm:LanguageModel",
        "multilabel": "heads.multilabel:MultiLabel",
        "regression": "heads.regression:Regression",
        "rescore": "heads.rescore:Rescore",
        "span": "heads.span:Span",
    },
    "metric": {
        "accuracy": "metrics.classification:Accuracy",
        "bits_per_byte": "metrics.likelihood:BitsPerByte",
        "bleu": "metrics.sacrebleu_metrics:Bleu",
        "byte_perplexity": "metrics.likelihood:BytePerplexity",
        "calibration_error": "metrics.classification:CalibrationError",
        "cer": "metrics.speech:CharacterErrorRate",
        "chrf": "metrics.sacrebleu_metrics:Chrf",
        "distinct": "metrics.generation:Distinct",
        "exact_match": "metrics.text:ExactMatch",
        "f1": "metrics.classification:F1",
        "greedy_match": "metrics.likelihood:GreedyMatch",
        "hamming_loss": "metrics.multilabel:HammingLoss",
        "log_loss": "metrics.classification:LogLoss",
        "matthews_correlation": "metrics.classification:MatthewsCorrelation",
        "mean_absolute_error": "metrics.regression:MeanAbsoluteError",
        "mean_average_precision": "metrics.multilabel:MeanAveragePrecision",
        "mean_squared_error": "metrics.regression:MeanSquaredError",
        "multilabel_f1": "metrics.multilabel:MultiLabelF1",
        "nist": "metrics.generation:Nist",
        "normalised_accuracy": "metrics.choice:NormalisedAccuracy",
        "pearson": "metrics.regression:Pearson",
        "perplexity": "metrics.likelihood:Perplexity",
        "repetition": "metrics.generation:Repetition",
        "rouge": "metrics.generation:Rouge",
        "spearman": "metrics.regression:Spearman",
        "subset_accuracy": "metrics.multilabel:SubsetAccuracy",
        "ter": "metrics.sacrebleu_metrics:Ter",
        "token_f1": "metrics.text:TokenF1",
        "wer": "metrics.speech:WordErrorRate",
        "word_perplexity": "metrics.likelihood:WordPerplexity",
    },
    "baseline": {
        "copy": "tasks.baselines:Copy",
        "first_hypothesis": "tasks.baselines:FirstHypothesis",
        "first_sentence": "tasks.baselines:FirstSentence",
        "majority": "tasks.baselines:Majority",
        "mean": "tasks.baselines:Mean",
        "no_answer": "tasks.baselines:NoAnswer",
        "oracle": "tasks.baselines:Oracle",
        "random": "tasks.baselines:Random",
    },
    "encoder": {
        "log-mel": "encoders.audio.log_mel:LogMel",
        "pretrained-audio": "encoders.audio.pretrained:PretrainedAudio",
    },
    "backbone": {
        "hf": "backbones.hf:HuggingFace",
        "mock": "backbones.mock:Mock",
        "nano": "backbones.nano:Nano",
        "run": "backbones.run:RunBackbone",
        "scratch": "backbones.scratch:Scratch",
    },
    "adaptation": {
        "full": "adaptations.full:Full",
        "head-only": "adaptations.head_only:HeadOnly",
        "lora": "adaptations.lora:Lora",
        "none": "adaptations.none:NoAdaptation",
    },
}


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Register the core's components, filters, readers and media types, and the bundled recipes."""
    for kind, components in COMPONENTS.items():
        for name, path in components.items():
            register.later(kind, name, f"{__package__}.{path}")
    for answer_kind in CORE_KINDS.values():
        register.answer_kind(answer_kind)
    for template_filter in FILTERS.values():
        register.template_filter(template_filter.name, template_filter.function)
    for reader in READERS.values():
        register.reader(reader.name, reader.function)
    for media_type in MEDIA_TYPES.values():
        register.media_type(media_type.name, *(dict(signature) for signature in media_type.signatures))
    register.recipes(next(folder for folder in BUNDLED_RECIPES if folder.is_dir()))
