"""``none``: the backbone as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .base import Adaptation

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM


class NoAdaptation(Adaptation):
    """The backbone as it is: prompting, zero- or few-shot."""

    name = "none"
    trains = False

    def apply(self, backbone: CausalLM) -> None:
        """Freeze everything."""
        backbone.model.requires_grad_(False)

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Nothing was kept, so there is nothing to put back."""

    def remove(self, backbone: CausalLM) -> bool:
        """Nothing was changed."""
        return True
