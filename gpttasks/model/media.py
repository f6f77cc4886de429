"""Audio and images in rows of token ids: one negative id for each embedding that an encoder computes.

Equal bytes have equal ids, and different bytes different ids, so that rows with media have common prefixes too.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    import torch

    from ..encoders.base import Encoder
    from ..example import Media


class MediaNodes:
    """The audio and images used so far, and the ids that represent them."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._ids: dict[str, list[int]] = {}
        self._starts: list[int] = []
        self._media: list[Media] = []
        self._next = 0

    def ids(self, media: Media) -> list[int]:
        """The ids of audio or an image. Raises DataError if the encoder cannot read it."""
        digest = media.digest
        if digest not in self._ids:
            kind = media.type.partition("/")[0]
            if kind not in self.encoder.reads:
                reads = " and ".join(sorted(self.encoder.reads)) or "nothing"
                raise DataError(f"the encoder {self.encoder.name!r} reads {reads}, but the prompt has {media.type}")
            length = self.encoder.length(media)
            self._ids[digest] = [-1 - place for place in range(self._next, self._next + length)]
            self._starts.append(self._next)
            self._media.append(media)
            self._next += length
        return self._ids[digest]

    def put_in(self, ids: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """The embeddings [rows, tokens, hidden], with those of media where ids [rows, tokens] on the CPU are negative.

        Audio or an image is encoded once, however many rows it is in.
        """
        import torch

        rows, columns = (ids < 0).nonzero(as_tuple=True)
        places = (-1 - ids[rows, columns]).tolist()
        owners = [bisect_right(self._starts, place) - 1 for place in places]
        used = sorted(set(owners))
        encoded = dict(zip(used, self.encoder.embed([self._media[owner] for owner in used]), strict=True))
        offsets, offset = {}, 0
        for owner in used:
            offsets[owner] = offset - self._starts[owner]
            offset += len(encoded[owner])
        index = torch.tensor([offsets[owner] + place for owner, place in zip(owners, places, strict=True)])
        values = torch.cat([encoded[owner] for owner in used])[index.to(embeddings.device)]
        where = (rows.to(embeddings.device), columns.to(embeddings.device))
        return embeddings.index_put(where, values.to(embeddings.dtype))
