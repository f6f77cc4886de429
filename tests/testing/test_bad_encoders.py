"""One bad encoder per rule: the kit names exactly that fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from found_rules import COUNTER, rules

from gpttasks.encoders.audio.log_mel import LogMel
from gpttasks.example import Media
from gpttasks.plugins import load_plugins
from gpttasks.testing import check_encoder

PIXELS = Path(__file__).parents[1] / "encoders" / "pixels.py"
Pixels = load_plugins([PIXELS]).get("encoder", "pixels")


class WrongLength(Pixels):
    def length(self, media):
        return super().length(media) + 1


class Noisy(Pixels):
    def embed(self, media):
        return [one + next(COUNTER) for one in super().embed(media)]


class Batched(Pixels):
    def embed(self, media):
        return [one * len(media) for one in super().embed(media)]


class Greedy(Pixels):
    def length(self, media):
        return max(1, len(media.data) // 4)


class Detached(Pixels):
    def embed(self, media):
        return [one.detach() for one in super().embed(media)]


class Silent(Pixels):
    reads = frozenset()


class Unkept(Pixels):
    def bind(self, hidden_size):
        super().bind(hidden_size)
        self.shift = next(COUNTER)

    def embed(self, media):
        return [one + (torch.arange(one.shape[-1]) * self.shift).sin() for one in super().embed(media)]


IMAGES = [Media(bytes(range(8)), "image/raw"), Media(bytes(range(50, 66)), "image/raw")]


@pytest.mark.parametrize(
    ("encoder", "rule"),
    [
        (WrongLength, "shape-as-said"),
        (Noisy, "deterministic"),
        (Batched, "alone-as-together"),
        (Greedy, "refuses-what-it-cannot-read"),
        (Detached, "trains"),
        (Silent, "names-what-it-reads"),
        (Unkept, "round-trip"),
        (Unkept, "run-round-trip"),
    ],
)
def test_bad_encoders(encoder, rule):
    assert rule in rules(check_encoder(encoder(), IMAGES))


def test_good_encoders():
    assert check_encoder(Pixels(), IMAGES) == []
    assert check_encoder(LogMel()) == []


class Impatient(LogMel):
    def length(self, media):
        length = super().length(media)
        if length > 100:
            raise OverflowError("too long")
        return length


def test_an_encoder_that_stumbles_over_long_audio():
    (fault,) = check_encoder(Impatient())
    assert fault.rule == "hard-media-too"
    assert fault.message == "audio of 20 s: got OverflowError: too long, expected embeddings or DataError"
