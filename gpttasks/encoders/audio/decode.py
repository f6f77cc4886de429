"""Audio files as samples: WAV, FLAC, OGG and MP3 through soundfile, as one channel with the requested rate."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from ...errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from ...example import Media


UNKNOWN_LENGTH = 0x7FFFF000
"""From this value on, the length in a WAV header means that it was unknown when the file was written to a pipe."""
MIN_DECODED = 0.9
"""The minimum share of the declared samples that must be decoded: for MP3 the declared number may be an estimate."""


def read_audio(
    media: Media, rate: int, longest: float, too_long: str = "cut it, or raise encoder.max_seconds"
) -> np.ndarray:
    """The samples [time], float32 from -1 to 1: channels are averaged and resampled to ``rate`` samples per second.

    Raises DataError for audio that is unreadable, truncated, silent, empty, or longer than ``longest`` seconds, for
    which the hint is ``too_long``.
    """
    import numpy as np
    import soundfile

    what = f"the audio {media.digest[:8]} ({media.type}, {len(media.data):,} bytes)"
    if (missing := _missing_bytes(media.data)) > 0:
        raise DataError(f"{what} is cut off: its header declares {missing:,} more bytes")
    try:
        with soundfile.SoundFile(io.BytesIO(media.data)) as file:
            seconds, source_rate = file.frames / file.samplerate, file.samplerate
            if seconds > longest:
                raise DataError(
                    f"{what} lasts {seconds:.1f} s, but the encoder reads at most {longest:g} s",
                    hint=too_long,
                )
            samples: np.ndarray = file.read(dtype="float32", always_2d=True).mean(axis=1)
            declared = file.frames
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"{what} cannot be read (libsndfile: {error.error_string})", hint="expected WAV, FLAC, OGG or MP3"
        ) from error
    if not len(samples):
        raise DataError(f"{what} has no samples")
    if len(samples) < MIN_DECODED * declared:
        raise DataError(
            f"{what} is cut off: its header declares {declared:,} samples, but only {len(samples):,} can be read"
        )
    if not np.isfinite(samples).all():
        raise DataError(f"{what} has samples that are not finite numbers")
    if not samples.any():
        raise DataError(f"{what} is silent from beginning to end")
    return samples if source_rate == rate else _resampled(samples, source_rate, rate)


def _resampled(samples: np.ndarray, source_rate: int, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    divisor = math.gcd(source_rate, rate)
    resampled: np.ndarray = resample_poly(samples, rate // divisor, source_rate // divisor).astype("float32")
    return resampled


def _missing_bytes(data: bytes) -> int:
    """The number of bytes that a WAV file lacks according to its header; libsndfile ignores it without an error."""
    declared = int.from_bytes(data[4:8], "little")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE" or declared >= UNKNOWN_LENGTH:
        return 0
    return declared + 8 - len(data)
