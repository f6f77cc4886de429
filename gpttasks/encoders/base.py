"""The encoder contract: audio or an image becomes embeddings that stand in the prompt where it stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..component import Component

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..example import Media


class Encoder(Component):
    """How audio or an image becomes embeddings in front of the text, for any head.

    reads:
        the kinds of media it reads: what stands before the slash in a MIME type, such as ``audio``.
    sample_media:
        two or more that it can read, on which the conformance kit checks it; needed where it reads no audio.
    """

    kind = "encoder"
    reads: ClassVar[frozenset[str]] = frozenset()
    sample_media: ClassVar[Sequence[Media]] = ()

    def bind(self, hidden_size: int) -> None:
        """Called once before all else, with the width of the backbone's embeddings: make or load the modules.

        Random weights are drawn from torch's generator, which is seeded. Raises UserError for what is missing.
        """
        raise NotImplementedError

    def modules(self) -> nn.ModuleDict:
        """The modules that are trained, saved in the run's ``head/``: a projector, or all of a tuned encoder."""
        raise NotImplementedError

    def length(self, media: Media) -> int:
        """How many embeddings it makes of this, at least 1: asked before anything is computed, for batches and cuts.

        Raises DataError for what it cannot read, saying what was got and what is wanted.
        """
        raise NotImplementedError

    def embed(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """The embeddings [length, hidden] of each, on the device of the modules, with gradients where they train."""
        raise NotImplementedError

    def digest(self) -> str | None:
        """SHA-256 of the weights that are not trained, None if there are none."""
        return None
