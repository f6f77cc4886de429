"""Audio files as samples: WAV, FLAC, OGG and MP3 read through soundfile, one channel, at the rate asked for."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from ...errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from ...example import Media


UNKNOWN_LENGTH = 0x7FFFF000
"""From here on the length in a WAV header stands for one that was unknown when it was written, into a pipe."""
LEAST_OF_TOLD = 0.9
"""The share of the samples that a header tells which has to be there: for MP3 their number may be an estimate."""


def read_audio(
    media: Media, rate: int, longest: float, too_long: str = "cut it, or raise encoder.max_seconds"
) -> np.ndarray:
    """The samples [time], float32 from -1 to 1: channels averaged, resampled to ``rate`` a second.

    Raises DataError for what cannot be read, is cut off, silent or empty, or lasts more than ``longest`` seconds; then
    ``too_long`` says what to do.
    """
    import numpy as np
    import soundfile

    what = f"the audio {media.digest[:8]} ({media.type}, {len(media.data):,} bytes)"
    if (missing := _missing_bytes(media.data)) > 0:
        raise DataError(f"{what} is cut off: its header says that {missing:,} bytes more should follow")
    try:
        with soundfile.SoundFile(io.BytesIO(media.data)) as file:
            seconds, own = file.frames / file.samplerate, file.samplerate
            if seconds > longest:
                raise DataError(
                    f"{what} lasts {seconds:.1f} s, and the encoder reads {longest:g} s",
                    hint=too_long,
                )
            samples: np.ndarray = file.read(dtype="float32", always_2d=True).mean(axis=1)
            told = file.frames
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"{what} cannot be read (libsndfile: {error.error_string})", hint="wanted WAV, FLAC, OGG or MP3"
        ) from error
    if not len(samples):
        raise DataError(f"{what} has no samples")
    if len(samples) < LEAST_OF_TOLD * told:
        raise DataError(f"{what} is cut off: its header says {told:,} samples, and {len(samples):,} can be read")
    if not np.isfinite(samples).all():
        raise DataError(f"{what} has samples that are no finite numbers")
    if not samples.any():
        raise DataError(f"{what} is silent from beginning to end")
    return samples if own == rate else _resampled(samples, own, rate)


def _resampled(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    shared = math.gcd(own, rate)
    resampled: np.ndarray = resample_poly(samples, rate // shared, own // shared).astype("float32")
    return resampled


def _missing_bytes(data: bytes) -> int:
    """How many bytes a WAV file lacks by its header; libsndfile reads what is there without a word."""
    declared = int.from_bytes(data[4:8], "little")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE" or declared >= UNKNOWN_LENGTH:
        return 0
    return declared + 8 - len(data)
