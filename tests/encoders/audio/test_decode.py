"""Audio into samples, and samples into embeddings."""

import io

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from gpttasks.data.media import media_of
from gpttasks.encoders.audio.decode import read_audio
from gpttasks.encoders.audio.log_mel import LogMel, LogMelOptions
from gpttasks.errors import DataError
from gpttasks.example import Media


def tone(seconds: float = 0.3, rate: int = 16000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("float32")


def audio(samples: np.ndarray, rate: int = 16000, kind: str = "WAV", **options: str) -> Media:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, **options)
    return media_of(out.getvalue())


@pytest.mark.parametrize(("kind", "near"), [("WAV", 1e-4), ("FLAC", 1e-4), ("OGG", 0.1), ("MP3", 0.1)])
def test_formats(kind, near):
    samples = tone(1.0)
    found = read_audio(audio(samples, kind=kind), 16000, 30)
    middle = slice(4000, 12000)
    shift = max(range(-1300, 1301), key=lambda by: float(np.dot(found[middle], np.roll(samples, by)[middle])))
    assert np.abs(found[middle] - np.roll(samples, shift)[middle]).max() < near


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_another_rate_is_the_same_tone(rate):
    found = read_audio(audio(tone(1.0, rate), rate), 16000, 30)
    assert abs(len(found) - 16000) <= 1
    assert np.abs(found[1000:-1000] - tone(1.0)[1000 : len(found) - 1000]).max() < 0.01


def test_channels_are_averaged():
    left, right = tone(), tone(hertz=700.0)
    found = read_audio(audio(np.stack([left, right], axis=1)), 16000, 30)
    assert np.abs(found - (left + right) / 2).max() < 1e-4


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (audio(np.zeros(0, dtype="float32")), "has no samples"),
        (audio(np.zeros(800, dtype="float32")), "is silent"),
        (audio(tone(3.0)), "lasts 3.0 s, but the encoder reads at most 2 s"),
        (Media(b"RIFF not audio at all", "audio/wav"), "cannot be read"),
        (audio(np.full(800, np.nan, dtype="float32"), subtype="FLOAT"), "not finite numbers"),
    ],
)
def test_what_cannot_be_used_is_told(media, message):
    with pytest.raises(DataError, match=message):
        read_audio(media, 16000, 2)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    made = LogMel(LogMelOptions(channels=16))
    made.bind(24)
    return made


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=4))
def test_lengths_are_known_before_and_no_audio_hears_another(encoder, lengths):
    some = [audio(np.random.default_rng(length).normal(0, 0.1, length).astype("float32")) for length in lengths]
    with torch.no_grad():
        together = encoder.embed(some)
        for media, found in zip(some, together, strict=True):
            assert found.shape == (encoder.length(media), 24)
            torch.testing.assert_close(found, encoder.embed([media])[0], atol=1e-5, rtol=1e-4)


def test_features_are_those_of_transformers(encoder):
    samples = np.random.default_rng(1).normal(0, 0.1, 8000).astype("float32")
    wanted = spectrogram(
        read_audio(audio(samples), 16000, 30),
        window_function(400, "hann"),
        frame_length=400,
        hop_length=160,
        power=2.0,
        pad_mode="constant",
        mel_filters=mel_filter_bank(201, 80, 0.0, 8000.0, 16000, norm="slaney"),
        log_mel="log10",
    ).T
    wanted = (wanted - wanted.mean()) / wanted.std()
    assert np.abs(encoder._features(audio(samples)).numpy() - wanted).max() < 2e-3
