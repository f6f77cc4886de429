"""The rules for encoders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..example import Media
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .partners import SPLIT, media_examples, number_rows, task_of
from .samples import hard_media, sample_media
from .tiny import CONTEXT, HIDDEN, Tiny
from .trial_run import ONE_STEP, answers_differ, folder_differences, trial, use

if TYPE_CHECKING:
    import torch

    from ..encoders.base import Encoder

CLOSE = 1e-4


@dataclass(frozen=True)
class EncoderSubject:
    """A bound encoder, and media that it can read."""

    encoder: Encoder
    media: Sequence[Media]

    def embeddings(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """The embeddings of media, without gradients."""
        import torch

        with torch.no_grad():
            return [one.detach() for one in self.encoder.embed(media)]


def check_encoder(encoder: Encoder, media: Sequence[Media] | None = None) -> list[Fault]:
    """The faults of an encoder on two or more media that it can read; None generates audio.

    Raises ValueError if there are none.
    """
    media = sample_media(encoder.reads) if media is None else media
    if not media:
        raise ValueError(
            f"encoder {encoder.name!r} reads {sorted(encoder.reads)}, which cannot be generated: pass some media"
        )
    sample = media

    def bound() -> EncoderSubject:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            encoder.bind(HIDDEN)
        encoder.modules().eval()
        return EncoderSubject(encoder, sample)

    return run_rules("encoder", encoder.name, bound, RULES)


@rule("set reads to the part before the slash in the MIME types")
def names_what_it_reads(subject: EncoderSubject) -> Iterator[str]:
    """``reads`` lists the kinds of media."""
    kinds = {media.type.partition("/")[0] for media in subject.media}
    if not kinds <= subject.encoder.reads:
        yield f"got reads {sorted(subject.encoder.reads)}, expected {sorted(kinds)} in it"


@rule("return the exact number of embeddings of embed() from length()")
def shape_as_said(subject: EncoderSubject) -> Iterator[str]:
    """``embed`` returns as many embeddings as ``length`` says, with the backbone's hidden size."""
    for media, embeddings in zip(subject.media, subject.embeddings(subject.media), strict=True):
        expected = (subject.encoder.length(media), HIDDEN)
        if tuple(embeddings.shape) != expected or expected[0] < 1:
            yield f"got embeddings {list(embeddings.shape)}, expected {list(expected)}, with 1 or more of them"


@rule("draw nothing at random outside bind(), and leave dropout to modules in training mode")
def deterministic(subject: EncoderSubject) -> Iterator[str]:
    """The same media give the same embeddings."""
    difference = _difference(subject.embeddings(subject.media), subject.embeddings(subject.media))
    if difference > 0:
        yield f"got embeddings that differ by {difference:.1e} from one call to the next, expected the same"


@rule("mask the padding, or encode media one by one")
def alone_as_together(subject: EncoderSubject) -> Iterator[str]:
    """No embedding depends on the rest of the batch or on its order."""
    together = subject.embeddings(subject.media)
    alone = [one for media in subject.media for one in subject.embeddings([media])]
    reordered = list(reversed(subject.embeddings(list(reversed(subject.media)))))
    for what, other in (("alone", alone), ("in another order", reordered)):
        difference = _difference(together, other)
        if difference > CLOSE:
            yield f"got embeddings that differ by {difference:.1e} {what}, expected at most {CLOSE:.0e}"


@rule("raise DataError in length(), with what was got and what was expected")
def refuses_what_it_cannot_read(subject: EncoderSubject) -> Iterator[str]:
    """Empty and broken media are refused with DataError."""
    for what, data in (("no bytes", b""), ("broken bytes", b"\x00broken")):
        try:
            subject.encoder.length(Media(data, subject.media[0].type))
        except Exception as error:  # noqa: PERF203 - each by itself
            if not is_refusal(error):
                yield f"{what}: got {error_text(error)}, expected DataError"
        else:
            yield f"{what}: got a length, expected DataError"


@rule("compute embed() with gradients, without detach() or no_grad(), if a module is to be trained")
def trains(subject: EncoderSubject) -> Iterator[str]:
    """Gradients reach the modules to be trained."""
    import torch

    trainable = [value for value in subject.encoder.modules().parameters() if value.requires_grad]
    with torch.enable_grad():
        total = torch.stack([one.float().square().sum() for one in subject.encoder.embed(subject.media)]).sum()
        if trainable and not total.requires_grad:
            yield "got embeddings without gradients, expected them to reach its modules"


@rule("keep everything that is trained in modules(), and derive everything else from the options")
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
        yield f"got embeddings that differ by {difference:.1e} after saving and loading, expected the same"
    if encoder.digest() != fresh.digest():
        yield f"got the digests {encoder.digest()} and {fresh.digest()}, expected the same"


@rule("resample, mix and pad as needed, or raise DataError in length()")
def hard_media_too(subject: EncoderSubject) -> Iterator[str]:
    """Silent, stereo, very short and long audio gives finite embeddings, as many as ``length`` says, or is refused."""
    import torch

    for what, media in hard_media(subject.encoder.reads):
        try:
            length = subject.encoder.length(media)
            (embeddings,) = subject.embeddings([media])
        except Exception as error:
            if not is_refusal(error):
                yield f"{what}: got {error_text(error)}, expected embeddings or DataError"
            continue
        if tuple(embeddings.shape) != (length, HIDDEN) or not torch.isfinite(embeddings).all():
            finite = "finite" if torch.isfinite(embeddings).all() else "not finite"
            yield f"{what}: got {finite} embeddings {list(embeddings.shape)}, expected finite ones {[length, HIDDEN]}"


@rule("keep everything that is trained in modules(), and derive everything else from the options")
def run_round_trip(subject: EncoderSubject) -> Iterator[str]:
    """The folder of a run with the encoder, trained for one step, gives the same answers and scores again."""
    encoder = subject.encoder
    task = task_of(media_examples(subject.media))
    longest = max(map(encoder.length, subject.media))
    keys = {
        "backbone": {"use": Tiny.name, "context": longest + CONTEXT},
        "encoder": use(encoder),
        "task": {"use": task.name},
        "head": {"use": "choice"},
        "adapt": {"use": "head-only"},
        "train": ONE_STEP,
        "score": {"metrics": ["log_loss"]},
    }
    with trial((Tiny, task, type(encoder)), keys) as run:
        yield from folder_differences(run)
        difference = answers_differ(run.answers, run.predicted(number_rows(SPLIT)))
        if difference is not None:
            yield f"got {difference} in a run and predicted from its folder, expected the same"


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
    hard_media_too,
    run_round_trip,
)
