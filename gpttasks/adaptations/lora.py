"""``lora``: low-rank updates through PEFT."""

from __future__ import annotations

import ast
import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from ..component import Options
from ..errors import Problem, UserError, did_you_mean, one_line
from ..patterns import compiled
from .base import Adaptation
from .load_adapter import load_adapter
from .lora_names import expert_parameters, unmatched_names
from .merge import adapts_tied_embeddings, merge_adapter, without_peft

if TYPE_CHECKING:
    from peft import LoraConfig

    from ..model.causal_lm import CausalLM


class LoraOptions(Options):
    """The most common LoRA options; ``peft`` takes all others."""

    rank: int = Field(8, ge=1, le=100_000, description="the rank of the update matrices")
    alpha: float = Field(16, ge=1e-6, le=1_000_000, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of the update")
    targets: str | list[str] = Field(
        "all-linear", description="all-linear, a list of module names, or a regular expression over their full names"
    )
    bias: Literal["none", "all", "lora_only"] = Field("none", description="which biases are also trained")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank) instead")
    dora: bool = Field(False, description="train magnitude and direction separately (DoRA)")
    peft: dict[str, Any] = Field(default_factory=dict, description="any other option of peft.LoraConfig, by its name")

    @field_validator("targets")
    @classmethod
    def _a_regular_expression(cls, value: str | list[str]) -> str | list[str]:
        try:
            compiled(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValueError(f"expected a list of names or a regular expression; {error}") from None
        return value

    @field_validator("peft")
    @classmethod
    def _known_to_peft(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = lora_config_fields() if value else frozenset()  # most recipes do not need PEFT's source
        for name in value:
            if name in SET_HERE:
                raise ValueError(f"{name!r} is set by gpttasks; remove it")
            if name in RENAMED:
                raise ValueError(f"{name!r} is the option {RENAMED[name]!r} of lora; set that")
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"peft.LoraConfig has no option {name!r}" + (f"; {hint}" if hint else ""))
            if value[name] and name in WITHOUT_EFFECT:
                raise ValueError(f"{name!r} has no effect here: {WITHOUT_EFFECT[name]}; remove it")
        start = str(value.get("init_lora_weights", True)).lower()
        for refused, reason in REFUSED_STARTS.items():
            if start.startswith(refused):
                raise ValueError(f"init_lora_weights: {start} is not supported: {reason}; leave it out, or use pissa")
        return value


RENAMED = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "bias": "bias",
    "use_rslora": "rslora",
    "use_dora": "dora",
}
"""The options of ``peft.LoraConfig`` that are options of lora, most of them under another name."""

SET_HERE = frozenset({"task_type", "peft_type", "inference_mode"})
"""The options of ``peft.LoraConfig`` with only one possible value for training a causal language model."""


FROM_DATA = "it is computed from examples that gpttasks does not give to PEFT, so that the adapter would be plain LoRA"

REFUSED_STARTS = {
    "eva": FROM_DATA,
    "corda": FROM_DATA,
    "lora_ga": FROM_DATA,
    "loftq": "it replaces the base weights by quantised ones, which are not saved with the adapter",
    "pissa_niter": "it changes the base weights by random numbers that are not saved with the adapter",
}
"""Initialisations of LoRA (by how their names begin) that are not carried out, or lost when the adapter is saved."""

WITHOUT_EFFECT = {
    "eva_config": FROM_DATA,
    "corda_config": FROM_DATA,
    "lora_ga_config": FROM_DATA,
    "loftq_config": "it belongs to an initialisation that is not supported",
    "use_qalora": "it needs a backbone quantised with GPTQ",
    "arrow_config": "it routes between several adapters, and a run has one",
    "megatron_config": "it belongs to models of Megatron",
}
"""Options of ``peft.LoraConfig`` that change nothing in a run, each with the reason."""


@lru_cache(maxsize=1)
def lora_config_fields() -> frozenset[str]:
    """The options of the installed ``peft.LoraConfig``, read from its source: importing peft takes seconds."""
    names: set[str] = set()
    spec = importlib.util.find_spec("peft")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for file, name in (
        ("tuners/lora/config.py", "LoraConfig"),
        ("config.py", "PeftConfig"),
        ("config.py", "PeftConfigMixin"),
    ):
        for node in ast.walk(ast.parse((package / file).read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == name:
                fields = (item.target for item in node.body if isinstance(item, ast.AnnAssign))
                names |= {target.id for target in fields if isinstance(target, ast.Name)}
    return frozenset(names)


IRRELEVANT = ("fan_in_fan_out", "is_gradient_checkpointing", "tie_word_embeddings")
"""PEFT's warnings with these words are about what it solves by itself (Conv1D layers of GPT-1 and GPT-2, a renamed
property), or about tied embeddings, which :mod:`.merge` unties.
"""


@contextmanager
def peft_warnings(notes: list[str]) -> Iterator[None]:
    """Collect PEFT's warnings in ``notes``, each on one line, instead of showing them with places in its code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = "PEFT: " + " ".join(str(warning.message).split())
        if text not in notes and not any(word in text for word in IRRELEVANT):
            notes.append(text)


class Lora(Adaptation):
    """Low-rank updates of the linear layers through PEFT (Hu et al. 2021)."""

    name = "lora"
    Options = LoraOptions
    keeps = "adapter"

    options: LoraOptions
    base: str | None = None
    """The base of the adapter, if that is a run and not a model."""
    _merged = False
    """Whether the adapter of that run was merged into the weights."""

    def apply(self, backbone: CausalLM) -> None:
        """Wrap the model with a fresh adapter; an adapter of the backbone is merged into its weights first.

        Raises UserError for names that match nothing, and with PEFT's message if the options do not fit.
        """
        from peft import get_peft_model

        self._merged = merge_adapter(backbone)
        if self._merged:  # the new adapter needs the run, with its adapter merged, as its base
            self.base = backbone.adapter_source
        config = self.config()
        if problems := unmatched_names(backbone.model, config):
            raise UserError(problems)
        try:
            with peft_warnings(self.notes):
                backbone.model = get_peft_model(backbone.model, config)
                _try_once(backbone)
        except Exception as error:  # PEFT raises errors of many types for wrong options
            raise UserError(
                f"LoRA cannot be applied to this backbone: {one_line(error)}", hint="check the options under adapt"
            ) from error
        self._check_tying(backbone)
        if adapts_tied_embeddings(backbone.causal_lm):
            self.notes.append(
                "the adapter changes an embedding or LM head, which share their weights in this backbone; other tools "
                "may merge it into both: for a merged model use gpttasks export --merged"
            )
        if self.options.targets == "all-linear" and not config.target_parameters:
            self._note_experts(backbone)

    def _check_tying(self, backbone: CausalLM) -> None:
        """Raise UserError for a tied adapter on a tied embedding: PEFT loads another adapter than it has saved."""
        layers = backbone.model.modules()
        if self.options.peft.get("ensure_weight_tying") and any(getattr(one, "lora_embedding_A", ()) for one in layers):
            raise UserError(
                Problem(
                    "an adapter that is tied across embedding and LM head is not loaded by PEFT as it was saved",
                    key="adapt.peft.ensure_weight_tying",
                    hint="remove it: a merged model then has an embedding and an LM head with weights of their own",
                )
            )

    def _note_experts(self, backbone: CausalLM) -> None:
        if experts := expert_parameters(backbone.model):
            self.notes.append(
                "adapt.targets is all-linear, which reaches no expert: their weights are parameters, not linear "
                f"layers; to adapt them, write adapt.peft.target_parameters: [{', '.join(experts)}]"
            )

    def config(self) -> LoraConfig:
        """The ``peft.LoraConfig`` of these options for a causal language model."""
        from peft import LoraConfig

        options = self.options
        return LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=options.targets,
            bias=options.bias,
            use_rslora=options.rslora,
            use_dora=options.dora,
            task_type="CAUSAL_LM",
            **options.peft,
        )

    def save(self, backbone: CausalLM, folder: Path) -> None:
        """Write a plain PEFT adapter (safetensors)."""
        with peft_warnings(self.notes):
            backbone.model.save_pretrained(folder, safe_serialization=True)
        file = folder / "adapter_config.json"
        config = json.loads(file.read_text("utf-8"))
        config["base_model_name_or_path"] = self.base or config["base_model_name_or_path"]
        if self.base is None and (revision := getattr(getattr(backbone, "options", None), "revision", None)):
            config["revision"] = revision
        if isinstance(config["target_modules"], list):  # a set in PEFT, in another order each time
            config["target_modules"].sort()
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card is an empty template

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Wrap the model with the saved adapter; an adapter of the backbone is merged, as in ``apply``.

        Raises FolderError for an adapter that is damaged or does not fit, with the tensor's name; no pickle is opened.
        """
        merge_adapter(backbone)
        with peft_warnings(self.notes):
            backbone.model = load_adapter(backbone.model, folder)

    def remove(self, backbone: CausalLM) -> bool:
        """Take the adapter off the model; not possible after another one was merged into the weights."""
        if not self._merged:
            backbone.model = without_peft(backbone.model.unload())
        return not self._merged


def _try_once(backbone: CausalLM) -> None:
    """Run the adapted model on one token: some initialisations fail on some layers only when they are used."""
    import torch

    with torch.no_grad():
        backbone.model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=backbone.device), use_cache=False)
