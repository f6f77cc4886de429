"""The adaptation contract: how a backbone is made trainable, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..component import Component

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM


class Adaptation(Component):
    """How the backbone is fitted to the task.

    trains:
        whether anything is trained at all (the head's modules included).
    trains_weights:
        whether the backbone's own weights change, and so have to be held in fp32.
    keeps:
        the folder of the run that ``save`` fills: ``adapter``, ``model``, or None if there is nothing to keep.
    """

    kind = "adaptation"
    trains: ClassVar[bool] = True
    trains_weights: ClassVar[bool] = False
    keeps: ClassVar[str | None] = None

    def apply(self, backbone: CausalLM) -> None:
        """Mark what is trained (``requires_grad``), or wrap ``backbone.model``. Raises UserError if it cannot."""
        raise NotImplementedError

    def save(self, backbone: CausalLM, folder: Path) -> None:
        """Write what was trained of the backbone, in the field's own formats, into ``folder``.

        The folder is there and empty; it becomes the run's ``keeps`` when this returns.
        """

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Put what ``save`` wrote on a backbone that was loaded as it was before ``apply``."""
        raise NotImplementedError

    def remove(self, backbone: CausalLM) -> bool:
        """Undo ``apply`` after a run, so that the next run can use the model in memory; returns whether that was done.

        False, the default, has the next run load the model again. After a training the weights are compared with their
        digest before they are used again.
        """
        return False
