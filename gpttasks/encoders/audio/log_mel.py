"""The encoder ``log-mel``: log-mel features, two strided convolutions and a projector, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import Field

from ...component import Options
from ..base import Encoder
from .decode import read_audio

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...example import Media

HELD = 4096
"""The number of audio files whose features are cached: training reads each of them again in every epoch."""
QUIET = 1e-10
"""The minimum power; lower values are set to it."""


class LogMelOptions(Options):
    """The options of the encoder ``log-mel``."""

    sample_rate: int = Field(
        16000, ge=1000, le=1_000_000, description="samples per second; audio with another rate is resampled"
    )
    mels: int = Field(80, ge=1, le=1000, description="the number of mel bands")
    window: float = Field(0.025, ge=0.001, le=10, description="the length of a frame in seconds")
    hop: float = Field(0.010, ge=0.001, le=10, description="the seconds from one frame to the next")
    channels: int = Field(256, ge=1, le=100_000, description="the number of channels of the convolutions")
    max_seconds: float = Field(
        30.0,
        ge=0.01,
        le=1_000_000,
        description="the maximum length of audio in seconds; longer audio is an error and is never cut",
    )


class LogMel(Encoder):
    """Log-mel features, normalised per audio file, with a quarter as many embeddings as frames.

    Two convolutions of width 3 and stride 2 with GELU, layer norm, and a linear layer to the backbone's width.
    """

    name = "log-mel"
    reads = frozenset({"audio"})
    Options = LogMelOptions

    options: LogMelOptions

    def __init__(self, options: LogMelOptions | None = None) -> None:
        super().__init__(options)
        self._features = lru_cache(maxsize=HELD)(self._compute)

    def bind(self, hidden_size: int) -> None:
        """Make the layers."""
        import torch
        from torch import nn
        from transformers.audio_utils import mel_filter_bank

        options = self.options
        self._hop = max(1, round(options.hop * options.sample_rate))
        self._window = max(2, round(options.window * options.sample_rate))
        filters = mel_filter_bank(
            self._window // 2 + 1, options.mels, 0.0, options.sample_rate / 2, options.sample_rate, norm="slaney"
        )
        self._filters = torch.from_numpy(filters).float()
        wide = options.channels
        self._convolutions = nn.ModuleList(
            [nn.Conv1d(options.mels, wide, 3, stride=2, padding=1), nn.Conv1d(wide, wide, 3, stride=2, padding=1)]
        )
        self._projector = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, hidden_size))

    def modules(self) -> nn.ModuleDict:
        """All layers."""
        from torch import nn

        return nn.ModuleDict({"convolutions": self._convolutions, "projector": self._projector})

    def length(self, media: Media) -> int:
        """A quarter of the frames, rounded up."""
        return _halved(_halved(len(self._features(media))))

    def embed(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """All media in one batch, padded on the right; the padding does not affect the embeddings."""
        import torch

        device = next(self._projector.parameters()).device
        features = [self._features(one) for one in media]
        lengths = [len(frames) for frames in features]
        states = torch.nn.utils.rnn.pad_sequence(features, batch_first=True).to(device).transpose(1, 2)
        for convolution in self._convolutions:
            states = torch.nn.functional.gelu(convolution(states))
            lengths = [_halved(length) for length in lengths]
            inside = torch.arange(states.shape[-1]) < torch.tensor(lengths)[:, None]
            states = states * inside[:, None].to(device)  # a convolution makes padding non-zero
        projected = self._projector(states.transpose(1, 2))
        return [row[:length] for row, length in zip(projected, lengths, strict=True)]

    def _compute(self, media: Media) -> torch.Tensor:
        """[frames, mels], with mean 0 and standard deviation 1."""
        import torch

        samples = torch.from_numpy(read_audio(media, self.options.sample_rate, self.options.max_seconds))
        window = torch.hann_window(self._window)
        spectrum = torch.stft(
            samples, self._window, self._hop, window=window, center=True, pad_mode="constant", return_complex=True
        )
        frames: torch.Tensor = (spectrum.abs().square().T @ self._filters).clamp(min=QUIET).log10()
        return (frames - frames.mean()) / (frames.std() + 1e-5)


def _halved(length: int) -> int:
    """The output length of a convolution of width 3 and stride 2, padded by 1."""
    return (length + 1) // 2
