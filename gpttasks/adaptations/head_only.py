"""``head-only``: the backbone is frozen, and the head's modules are trained."""

from __future__ import annotations

from .none import NoAdaptation


class HeadOnly(NoAdaptation):
    """The backbone stays frozen; only the head's modules are trained (a linear probe)."""

    name = "head-only"
    trains = True
