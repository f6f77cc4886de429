"""``lora``: low-rank updates through PEFT."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from ..component import Options
from ..errors import UserError, did_you_mean, one_line
from .base import Adaptation

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

    from ..model.causal_lm import CausalLM


class LoraOptions(Options):
    """The most common LoRA options; ``peft`` takes all others."""

    rank: int = Field(8, ge=1, description="the rank of the update matrices")
    alpha: float = Field(16, gt=0, description="the update is scaled by alpha / rank")
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
            re.compile(value if isinstance(value, str) else "")
        except re.error as error:
            raise ValueError(f"{value!r} is neither a list of names nor a regular expression: {error}") from None
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


@contextmanager
def _peft_warnings_ignored() -> Iterator[None]:
    """Ignore warnings of PEFT about problems that it then solves itself."""
    with warnings.catch_warnings():
        # On Conv1D layers (GPT-1, GPT-2) it sets fan_in_fan_out itself.
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        # It asks transformers for a property under its old name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


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

        Raises UserError with PEFT's message if the options do not fit.
        """
        from peft import get_peft_model

        self._merged = merge_adapter(backbone)
        if self._merged:  # the new adapter needs the run, with its adapter merged, as its base
            self.base = backbone.adapter_source
        try:
            with _peft_warnings_ignored():
                backbone.model = get_peft_model(backbone.model, self.config())
        except Exception as error:  # PEFT raises errors of many types for wrong options
            raise UserError(
                f"LoRA cannot be applied to this backbone: {one_line(error)}", hint="check the options under adapt"
            ) from error

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
        backbone.model.save_pretrained(folder, safe_serialization=True)
        file = folder / "adapter_config.json"
        config = json.loads(file.read_text("utf-8"))
        config["base_model_name_or_path"] = self.base or config["base_model_name_or_path"]
        if isinstance(config["target_modules"], list):  # a set in PEFT, in another order each time
            config["target_modules"].sort()
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card is an empty template

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Wrap the model with the saved adapter; an adapter of the backbone is merged, as in ``apply``."""
        from peft import PeftModel

        merge_adapter(backbone)
        with _peft_warnings_ignored():
            backbone.model = PeftModel.from_pretrained(backbone.model, folder)

    def remove(self, backbone: CausalLM) -> bool:
        """Take the adapter off the model; not possible after another one was merged into the weights."""
        if not self._merged:
            backbone.model = _without_peft(backbone.model.unload())
        return not self._merged


def merge_adapter(backbone: CausalLM) -> bool:
    """Merge the adapter of the run that is the backbone into the weights; returns whether there is one."""
    from peft import PeftModel

    if not isinstance(backbone.model, PeftModel):
        return False
    backbone.model = _without_peft(backbone.model.merge_and_unload())
    return True


def _without_peft(model: PreTrainedModel) -> PreTrainedModel:
    """A model without its adapter. PEFT's remaining attribute is removed: it would later look like a second adapter."""
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model
