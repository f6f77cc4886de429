"""``head-only``: a frozen backbone, and the head's own modules trained."""

from __future__ import annotations

from .none import NoAdaptation


class HeadOnly(NoAdaptation):
    """The backbone stays frozen; only the head's own modules are trained (a linear probe)."""

    name = "head-only"
    trains = True
