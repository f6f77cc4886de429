"""One task object for GPT models that is prompted, fine-tuned with LoRA and scored alike.

``__all__`` lists everything that a plugin or a notebook needs. Each name is imported when it is first used, so that
``import gpttasks`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adaptations.base import Adaptation
    from .answer import Answer, AnswerKind
    from .backbones.base import Backbone, LoadSettings
    from .backbones.local import LocalBackbone
    from .component import Options, RecipePath
    from .data.rows import Row
    from .data.sources import Source
    from .encoders.base import Encoder
    from .errors import (
        BackboneError,
        DataError,
        GpttasksError,
        Interrupted,
        PluginError,
        Problem,
        RunFailed,
        TooLong,
        UnusableRow,
        UserError,
        did_you_mean,
    )
    from .example import Example, Media, Part, Prompt, as_prompt, prompt_text, special_places
    from .heads.base import Head
    from .heads.text import TextHead
    from .item import Item, rows_of_items, target_starts
    from .metrics.base import Metric
    from .metrics.evaluate_metric import as_evaluate_metric
    from .metrics.intervals import Statistic
    from .metrics.score import Score
    from .model.causal_lm import CausalLM
    from .model.states import Forward, Targets
    from .pipeline.runner import run
    from .pipeline.session import Session
    from .plugins import Register
    from .plugins.hookspecs import RunInfo, hookimpl
    from .records.run import Run, read_run
    from .requests import (
        Cut,
        Engine,
        Generate,
        GenerateReply,
        LogLikelihood,
        LogLikelihoodReply,
        Readout,
        ReadoutReply,
        Reply,
        Request,
        Rolling,
        RollingReply,
        near_tie,
    )
    from .tasks.baselines import Baseline
    from .tasks.task import Task
    from .tasks.template import Template
    from .tasks.template_options import ListColumn, PlainTemplateText, TemplateText, TextList
    from .tasks.transcripts import normalised_transcript, word_errors
    from .tokens.rows import TokenRow, row_with_answer, rows_of_request, rows_of_text
    from .tokens.tokenizer import Tokenizer

    __version__: str

__all__ = [
    "Adaptation",
    "Answer",
    "AnswerKind",
    "Backbone",
    "BackboneError",
    "Baseline",
    "CausalLM",
    "Cut",
    "DataError",
    "Encoder",
    "Engine",
    "Example",
    "Forward",
    "Generate",
    "GenerateReply",
    "GpttasksError",
    "Head",
    "Interrupted",
    "Item",
    "ListColumn",
    "LoadSettings",
    "LocalBackbone",
    "LogLikelihood",
    "LogLikelihoodReply",
    "Media",
    "Metric",
    "Options",
    "Part",
    "PlainTemplateText",
    "PluginError",
    "Problem",
    "Prompt",
    "Readout",
    "ReadoutReply",
    "RecipePath",
    "Register",
    "Reply",
    "Request",
    "Rolling",
    "RollingReply",
    "Row",
    "Run",
    "RunFailed",
    "RunInfo",
    "Score",
    "Session",
    "Source",
    "Statistic",
    "Targets",
    "Task",
    "Template",
    "TemplateText",
    "TextHead",
    "TextList",
    "TokenRow",
    "Tokenizer",
    "TooLong",
    "UnusableRow",
    "UserError",
    "__version__",
    "as_evaluate_metric",
    "as_prompt",
    "did_you_mean",
    "hookimpl",
    "near_tie",
    "normalised_transcript",
    "prompt_text",
    "read_run",
    "row_with_answer",
    "rows_of_items",
    "rows_of_request",
    "rows_of_text",
    "run",
    "special_places",
    "target_starts",
    "word_errors",
]

_MODULES = {
    ".adaptations.base": ("Adaptation",),
    ".answer": ("Answer", "AnswerKind"),
    ".backbones.base": ("Backbone", "LoadSettings"),
    ".backbones.local": ("LocalBackbone",),
    ".component": ("Options", "RecipePath"),
    ".data.rows": ("Row",),
    ".data.sources": ("Source",),
    ".encoders.base": ("Encoder",),
    ".errors": (
        "BackboneError",
        "DataError",
        "GpttasksError",
        "Interrupted",
        "PluginError",
        "Problem",
        "RunFailed",
        "TooLong",
        "UnusableRow",
        "UserError",
        "did_you_mean",
    ),
    ".example": ("Example", "Media", "Part", "Prompt", "as_prompt", "prompt_text", "special_places"),
    ".heads.base": ("Head",),
    ".heads.text": ("TextHead",),
    ".item": ("Item", "rows_of_items", "target_starts"),
    ".metrics.base": ("Metric",),
    ".metrics.evaluate_metric": ("as_evaluate_metric",),
    ".metrics.intervals": ("Statistic",),
    ".metrics.score": ("Score",),
    ".model.causal_lm": ("CausalLM",),
    ".model.states": ("Forward", "Targets"),
    ".pipeline.runner": ("run",),
    ".pipeline.session": ("Session",),
    ".plugins": ("Register",),
    ".plugins.hookspecs": ("RunInfo", "hookimpl"),
    ".records.run": ("Run", "read_run"),
    ".requests": (
        "Cut",
        "Engine",
        "Generate",
        "GenerateReply",
        "LogLikelihood",
        "LogLikelihoodReply",
        "Readout",
        "ReadoutReply",
        "Reply",
        "Request",
        "Rolling",
        "RollingReply",
        "near_tie",
    ),
    ".tasks.baselines": ("Baseline",),
    ".tasks.task": ("Task",),
    ".tasks.template": ("Template",),
    ".tasks.template_options": ("ListColumn", "PlainTemplateText", "TemplateText", "TextList"),
    ".tasks.transcripts": ("normalised_transcript", "word_errors"),
    ".tokens.rows": ("TokenRow", "row_with_answer", "rows_of_request", "rows_of_text"),
    ".tokens.tokenizer": ("Tokenizer",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("gpttasks")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
