"""The rules for encoders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.example import Media
from .faults import Fault, refused, run_rules, told
from .samples import sample_media
from .tiny import HIDDEN

if TYPE_CHECKING:
    import torch

    from ..encoders.base import Encoder

CLOSE = 1e-4


@dataclass(frozen=True)
class EncoderSubject:
    """An encoder that is bound, and what it can read."""

    encoder: Encoder
    media: Sequence[Media]

    def embeddings(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """What it makes of media, without gradients."""
        import torch

        with torch.no_grad():
            return [one.detach() for one in self.encoder.embed(media)]


def check_encoder(encoder: Encoder, media: Sequence[Media] | None = None) -> list[Fault]:
    """The faults of an encoder on two or more media that it can read; None generates audio.

    Raises ValueError where there are no media to read.
    """
    import torch

    media = sample_media(encoder.reads) if media is None else media
    if not media:
        raise ValueError(f"encoder {encoder.name!r} reads {sorted(encoder.reads)}, and no such media were given")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder.bind(HIDDEN)
    encoder.modules().eval()
    return run_rules("encoder", encoder.name, EncoderSubject(encoder, media), RULES)


def names_what_it_reads(subject: EncoderSubject) -> Iterator[str]:
    """``reads`` names the kinds of media."""
    kinds = {media.type.partition("/")[0] for media in subject.media}
    if not kinds <= subject.encoder.reads:
        yield f"got reads {sorted(subject.encoder.reads)}, wanted {sorted(kinds)} in it"


def shape_as_said(subject: EncoderSubject) -> Iterator[str]:
    """``embed`` gives as many embeddings as ``length`` says, of the width of the backbone."""
    for media, given in zip(subject.media, subject.embeddings(subject.media), strict=True):
        wanted = (subject.encoder.length(media), HIDDEN)
        if tuple(given.shape) != wanted or wanted[0] < 1:
            yield f"got embeddings {list(given.shape)}, wanted {list(wanted)}, with 1 or more of them"


def deterministic(subject: EncoderSubject) -> Iterator[str]:
    """The same media give the same embeddings."""
    difference = _difference(subject.embeddings(subject.media), subject.embeddings(subject.media))
    if difference > 0:
        yield f"got embeddings that differ by {difference:.1e} from one call to the next, wanted the same"


def alone_as_together(subject: EncoderSubject) -> Iterator[str]:
    """No embedding depends on what else is in the batch, or on its order."""
    together = subject.embeddings(subject.media)
    alone = [one for media in subject.media for one in subject.embeddings([media])]
    turned = list(reversed(subject.embeddings(list(reversed(subject.media)))))
    for what, other in (("alone", alone), ("in another order", turned)):
        difference = _difference(together, other)
        if difference > CLOSE:
            yield f"got embeddings that differ by {difference:.1e} {what}, wanted at most {CLOSE:.0e}"


def refuses_what_it_cannot_read(subject: EncoderSubject) -> Iterator[str]:
    """Empty and broken media are refused with DataError."""
    for what, data in (("no bytes", b""), ("broken bytes", b"\x00broken")):
        try:
            subject.encoder.length(Media(data, subject.media[0].type))
        except Exception as error:  # noqa: PERF203 - each text by itself
            if not refused(error):
                yield f"{what}: got {told(error)}, wanted DataError"
        else:
            yield f"{what}: got a length, wanted DataError"


def trains(subject: EncoderSubject) -> Iterator[str]:
    """Gradients reach the modules that are to be trained."""
    import torch

    wanted = [value for value in subject.encoder.modules().parameters() if value.requires_grad]
    with torch.enable_grad():
        total = torch.stack([one.float().square().sum() for one in subject.encoder.embed(subject.media)]).sum()
        if wanted and not total.requires_grad:
            yield "got embeddings without gradients, wanted them to reach its modules"


def round_trip(subject: EncoderSubject) -> Iterator[str]:
    """A fresh encoder with the saved modules gives the same embeddings."""
    from safetensors.torch import load_file, save_file

    encoder = subject.encoder
    fresh = type(encoder)(encoder.options)
    fresh.bind(HIDDEN)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.safetensors"
        save_file({name: value.contiguous() for name, value in encoder.modules().state_dict().items()}, file)
        fresh.modules().load_state_dict(load_file(file))
    fresh.modules().eval()
    difference = _difference(
        subject.embeddings(subject.media), EncoderSubject(fresh, subject.media).embeddings(subject.media)
    )
    if difference > CLOSE:
        yield f"got embeddings that differ by {difference:.1e} after saving and loading, wanted the same"
    if encoder.digest() != fresh.digest():
        yield f"got the digests {encoder.digest()} and {fresh.digest()}, wanted the same"


def _difference(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> float:
    if [one.shape for one in left] != [one.shape for one in right]:
        return float("inf")
    return max(float((one - other).abs().max()) for one, other in zip(left, right, strict=True))


RULES = (
    names_what_it_reads,
    shape_as_said,
    deterministic,
    alone_as_together,
    refuses_what_it_cannot_read,
    trains,
    round_trip,
)
