"""What encoders have in common with all that a plugin registers; what they compute is not settled yet."""

from __future__ import annotations

from ..component import Component


class Encoder(Component):
    """How audio or an image becomes embeddings in front of the text.

    A plugin can register one by its name and options; no recipe can use one yet.
    """

    kind = "encoder"
