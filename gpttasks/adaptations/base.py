"""The adaptation contract: which weights of a backbone are trained, and how they are saved."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..component import Component
from ..declarations import BOOLEAN, Declaration

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM


class Adaptation(Component):
    """How the backbone is adapted to the task.

    trains:
        Whether anything is trained, including the head's modules.
    trains_weights:
        Whether the backbone's own weights change, so that they must be in fp32.
    keeps:
        The folder of the run that ``save`` fills: ``adapter``, ``model``, or None if there is nothing to save.
    """

    kind = "adaptation"
    trains: ClassVar[bool] = True
    trains_weights: ClassVar[bool] = False
    keeps: ClassVar[str | None] = None
    declarations: ClassVar = {
        "trains": BOOLEAN,
        "trains_weights": BOOLEAN,
        "keeps": Declaration("'adapter', 'model' or None", lambda value: value in ("adapter", "model", None)),
    }
    required_methods: ClassVar = (("apply",),)

    @cached_property
    def notes(self) -> list[str]:
        """What the user should know of what was applied, loaded or saved; a run shows and keeps each as a warning."""
        return []

    def apply(self, backbone: CausalLM) -> None:
        """Mark the trained weights (``requires_grad``), or wrap ``backbone.model``. Raises UserError if it cannot."""
        raise NotImplementedError

    def save(self, backbone: CausalLM, folder: Path) -> None:
        """Write the trained weights of the backbone, in standard formats, into ``folder``.

        The folder exists and is empty; it becomes the run's ``keeps`` when this returns.
        """

    def load(self, backbone: CausalLM, folder: Path) -> None:
        """Load the output of ``save`` into a backbone that is as it was before ``apply``."""
        raise NotImplementedError

    def remove(self, backbone: CausalLM) -> bool:
        """Undo ``apply`` after a run, so that the next run can use the model in memory; returns whether that was done.

        False, the default, has the next run load the model again. After a training the weights are compared with their
        digest before they are used again.
        """
        return False
