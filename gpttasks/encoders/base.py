"""The encoder contract: embeddings take the place of audio or an image in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..component import Component
from ..declarations import MEDIA, frozenset_of_text

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..example import Media


class Encoder(Component):
    """How audio or an image becomes embeddings in the prompt, for any head.

    reads:
        The kinds of media that it reads: the part before the slash in a MIME type, such as ``audio``.
    sample_media:
        Two or more media that it can read, with which the conformance kit checks it; needed unless it reads audio.
    """

    kind = "encoder"
    reads: ClassVar[frozenset[str]] = frozenset()
    sample_media: ClassVar[Sequence[Media]] = ()
    declarations: ClassVar = {
        "reads": frozenset_of_text("a frozenset of kinds of media, such as frozenset({'audio'})", required=True),
        "sample_media": MEDIA,
    }
    required_methods: ClassVar = (("bind",), ("modules",), ("length",), ("embed",))

    def check_source(self) -> None:
        """Raise UserError if the options name files that are missing; nothing is opened. For ``gpttasks check``."""

    def to_download(self) -> str | None:
        """What loading would download, such as a Hub id; None if all files are on this machine."""
        return None

    def bind(self, hidden_size: int) -> None:
        """Make or load the modules. Called once, before all other methods, with the width of the backbone's embeddings.

        Draw random weights from torch's generator, which is seeded. Raises UserError for a missing model or library.
        """
        raise NotImplementedError

    def modules(self) -> nn.ModuleDict:
        """The modules that are trained and saved in the run's ``head/``: a projector, or a whole tuned encoder."""
        raise NotImplementedError

    def length(self, media: Media) -> int:
        """The number of embeddings for this medium, at least 1. Batches and cuts are planned with it.

        Raises DataError for media that it cannot read, with what it got and what it expected.
        """
        raise NotImplementedError

    def embed(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """The embeddings [length, hidden] of each, on the device of the modules, with gradients where they train."""
        raise NotImplementedError

    def digest(self) -> str | None:
        """The SHA-256 of the weights that are not trained; None if there are none."""
        return None
