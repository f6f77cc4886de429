"""``full``: all weights are trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .base import Adaptation
from .merge import merge_adapter

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM


class Full(Adaptation):
    """All weights of the backbone are trained; with a backbone made from a config this is pretraining."""

    name = "full"
    trains_weights = True
    keeps = "model"

    def apply(self, backbone: CausalLM) -> None:
        """Unfreeze everything; an adapter of the run that is the backbone is merged into the weights first."""
        merge_adapter(backbone)
        backbone.model.requires_grad_(True)

    def save(self, backbone: CausalLM, folder: Path) -> None:
        """Write the model and its tokenizer as a standard Hugging Face folder."""
        from ..model.folder import quiet_transformers

        with quiet_transformers():
            backbone.model.save_pretrained(folder)
        backbone.tokenizer.save(folder)

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Replace the weights with the trained ones."""
        from ..model.folder import load_causal_lm

        backbone.replace_weights(load_causal_lm(folder, str(backbone.device)))
