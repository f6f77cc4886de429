"""Audio files as samples: WAV, FLAC, OGG and MP3 read through soundfile, one channel, at the rate asked for."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from ..tasks.example import Media


def read_audio(media: Media, rate: int, longest: float) -> np.ndarray:
    """The samples [time], float32 from -1 to 1: channels averaged, resampled to ``rate`` a second.

    Raises DataError for what cannot be read, is silent or empty, or lasts more than ``longest`` seconds.
    """
    import numpy as np
    import soundfile
    from scipy.signal import resample_poly

    what = f"the audio {media.digest[:8]} ({media.type}, {len(media.data):,} bytes)"
    try:
        with soundfile.SoundFile(io.BytesIO(media.data)) as file:
            seconds, own = file.frames / file.samplerate, file.samplerate
            if seconds > longest:
                raise DataError(
                    f"{what} lasts {seconds:.1f} s, and the encoder reads {longest:g} s",
                    hint="cut it, or raise encoder.max_seconds",
                )
            samples: np.ndarray = file.read(dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{what} cannot be read: {error.error_string}", hint="wanted WAV, FLAC, OGG or MP3") from error
    if not len(samples):
        raise DataError(f"{what} has no samples")
    if not np.isfinite(samples).all():
        raise DataError(f"{what} has samples that are no finite numbers")
    if not samples.any():
        raise DataError(f"{what} is silent from beginning to end")
    if own != rate:
        shared = math.gcd(own, rate)
        samples = resample_poly(samples, rate // shared, own // shared).astype("float32")
    return samples
