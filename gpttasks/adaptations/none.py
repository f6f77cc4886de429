"""``none``: the unchanged backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .base import Adaptation

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM


class NoAdaptation(Adaptation):
    """The unchanged backbone: zero-shot or few-shot prompting."""

    name = "none"
    trains = False

    def apply(self, backbone: CausalLM) -> None:
        """Freeze everything."""
        backbone.model.requires_grad_(False)

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Does nothing: nothing was saved."""

    def remove(self, backbone: CausalLM) -> bool:
        """Nothing to undo."""
        return True
