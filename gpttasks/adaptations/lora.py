"""The adaptations of the core: ``none``, ``head-only``, ``full`` and ``lora``."""

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
    """The LoRA options that most people set; ``peft`` reaches all others."""

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
        known = lora_config_fields() if value else frozenset()  # most recipes need no look into PEFT's source
        for name in value:
            if name in SET_HERE:
                raise ValueError(f"{name!r} is set by gpttasks; leave it out")
            if name in OWN_NAMES:
                raise ValueError(f"{name!r} is the option {OWN_NAMES[name]!r} of lora itself; set it there")
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"peft.LoraConfig has no option {name!r}" + (f"; {hint}" if hint else ""))
        return value


OWN_NAMES = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "bias": "bias",
    "use_rslora": "rslora",
    "use_dora": "dora",
}
"""The options of ``peft.LoraConfig`` that lora has under a name of its own."""

SET_HERE = frozenset({"task_type", "peft_type", "inference_mode"})
"""The options of ``peft.LoraConfig`` that leave nothing to choose for a causal language model in training."""


@lru_cache(maxsize=1)
def lora_config_fields() -> frozenset[str]:
    """The options of the installed ``peft.LoraConfig``, read from its source: importing peft takes seconds."""
    found: set[str] = set()
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
                found |= {target.id for target in fields if isinstance(target, ast.Name)}
    return frozenset(found)


@contextmanager
def _peft_warnings_understood() -> Iterator[None]:
    """Keeps quiet what PEFT warns of and then does rightly by itself."""
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
    """What the adapter stands on, where that is a run and not a model by itself."""
    _merged = False
    """Whether the adapter of that run was merged into the weights."""

    def apply(self, backbone: CausalLM) -> None:
        """Wrap the model with a fresh adapter; one that came with the backbone is merged into its weights first.

        Raises UserError with PEFT's own words if it does not fit.
        """
        from peft import get_peft_model

        self._merged = merge_adapter(backbone)
        if self._merged:  # the new adapter needs the run, with its adapter merged, as its base
            self.base = backbone.adapter_source
        try:
            with _peft_warnings_understood():
                backbone.model = get_peft_model(backbone.model, self.config())
        except Exception as error:  # PEFT's options are many, and so are the types of what it raises for wrong ones
            raise UserError(
                f"LoRA cannot be put on this backbone: {one_line(error)}", hint="look at the options under adapt"
            ) from error

    def config(self) -> LoraConfig:
        """The ``peft.LoraConfig`` of these options, a causal LM's."""
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
        """A plain PEFT adapter (safetensors)."""
        backbone.model.save_pretrained(folder, safe_serialization=True)
        file = folder / "adapter_config.json"
        config = json.loads(file.read_text("utf-8"))
        config["base_model_name_or_path"] = self.base or config["base_model_name_or_path"]
        if isinstance(config["target_modules"], list):  # a set in PEFT, in another order each time
            config["target_modules"].sort()
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card is a form that nobody filled in

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Wrap the model with the saved adapter; one that came with the backbone is merged, as for ``apply``."""
        from peft import PeftModel

        merge_adapter(backbone)
        with _peft_warnings_understood():
            backbone.model = PeftModel.from_pretrained(backbone.model, folder)

    def remove(self, backbone: CausalLM) -> bool:
        """Take the adapter off the model; not possible after another one was merged into the weights."""
        if not self._merged:
            backbone.model = _without_peft(backbone.model.unload())
        return not self._merged


def merge_adapter(backbone: CausalLM) -> bool:
    """Merge the adapter that a run brought along, if there is one, into the weights; whether there was."""
    from peft import PeftModel

    if not isinstance(backbone.model, PeftModel):
        return False
    backbone.model = _without_peft(backbone.model.merge_and_unload())
    return True


def _without_peft(model: PreTrainedModel) -> PreTrainedModel:
    """A model whose adapter was taken off: what PEFT leaves behind would be taken for a second adapter later."""
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model
