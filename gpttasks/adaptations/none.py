"""``none``: the backbone as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .base import Adaptation

if TYPE_CHECKING:
    from ..backbones.local import LocalBackbone


class NoAdaptation(Adaptation):
    """The backbone as it is: prompting, zero- or few-shot."""

    name = "none"
    trains = False

    def apply(self, backbone: LocalBackbone) -> None:
        """Freeze everything."""
        backbone.model.requires_grad_(False)

    def load(self, backbone: LocalBackbone, folder: Path) -> None:
        """Nothing was kept, so there is nothing to put back."""
