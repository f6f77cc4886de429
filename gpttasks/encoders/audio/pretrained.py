"""The encoder ``pretrained-audio``: Whisper, wav2vec 2.0, HuBERT and similar models, with a trained projector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...component import Options, RecipePath
from ...errors import BackboneError, DataError, one_line
from ...model.folder import check_folder, check_source, find_folder, is_on_this_machine, quiet_transformers
from ...model.loaded import state_digest
from ..base import Encoder
from .decode import read_audio

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...example import Media

HELD = 1024
"""The number of audio files whose states are cached while the model is frozen: each epoch needs them again."""


class PretrainedAudioOptions(Options):
    """The options of the encoder ``pretrained-audio``."""

    path: RecipePath = Field(
        description="a Hub id, or a folder with config.json, *.safetensors and a feature extractor"
    )
    revision: str | None = Field(None, description="the Hub revision: a branch, tag or commit")
    tune: bool = Field(False, description="train the encoder as well as the projector")
    stack: int = Field(4, ge=1, le=1000, description="the number of frames that are combined into one embedding")
    max_seconds: float = Field(
        30.0,
        ge=0.01,
        le=1_000_000,
        description="the maximum length of audio in seconds; longer audio is an error and is never cut",
    )


class PretrainedAudio(Encoder):
    """The hidden states of a pretrained encoder, ``stack`` frames at a time through layer norm and a linear layer.

    It supports models whose number of frames is known: Whisper's encoder (which reads 30 s with padding; the frames of
    the padding are dropped), and models that read samples, such as wav2vec 2.0, HuBERT, WavLM and UniSpeech. Each audio
    file is encoded alone, since the padding of a batch affects some models.
    """

    name = "pretrained-audio"
    reads = frozenset({"audio"})
    Options = PretrainedAudioOptions

    options: PretrainedAudioOptions

    def __init__(self, options: PretrainedAudioOptions) -> None:
        super().__init__(options)
        self._samples = lru_cache(maxsize=HELD)(self._read)
        self._frozen_states = lru_cache(maxsize=HELD)(self._states)

    def check_source(self) -> None:
        """Raise BackboneError for a local path that is not a model's folder; a Hub id is not looked up."""
        check_source(self.options.path)

    def to_download(self) -> str | None:
        """The Hub id, if the model is not on this machine."""
        return None if is_on_this_machine(self.options.path, self.options.revision) else self.options.path

    def bind(self, hidden_size: int) -> None:
        """Load the model. Raises BackboneError if it cannot be loaded, or its number of frames is unknown."""
        from torch import nn

        folder = find_folder(self.options.path, self.options.revision)
        check_folder(folder)
        self._extractor, self._model = load_audio_model(folder)
        self._digest = state_digest(self._model.state_dict())
        self._model.requires_grad_(self.options.tune)
        self._wave = hasattr(self._model, "_get_feat_extract_output_lengths") and not self._is_whisper
        if not self._wave and not self._is_whisper:
            kind = self._model.config.model_type
            raise BackboneError(
                f"{folder} is of type {kind!r}, whose number of frames is unknown",
                hint="use Whisper, wav2vec 2.0, HuBERT, WavLM or another model that reads samples",
            )
        width = self._model.config.hidden_size * self.options.stack
        self._projector = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden_size))

    def modules(self) -> nn.ModuleDict:
        """The projector, and the model if it is tuned."""
        from torch import nn

        modules: dict[str, nn.Module] = {"projector": self._projector}
        if self.options.tune:
            modules["model"] = self._model
        return nn.ModuleDict(modules)

    def digest(self) -> str | None:
        """The digest of the model as it was loaded."""
        return self._digest

    def length(self, media: Media) -> int:
        """The number of frames divided by ``stack``, rounded up."""
        frames = self._frames(len(self._samples(media)))
        if frames < 1:
            raise DataError(f"the audio {media.digest[:8]} is too short for {self.options.path}: it gives no frame")
        return -(-frames // self.options.stack)

    def embed(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """One medium after another; the states of a frozen model are cached."""
        import torch

        device = next(self._projector.parameters()).device
        if next(self._model.parameters()).device != device:
            self._model.to(device)
        embeddings = []
        for one in media:
            if self.options.tune:
                states = self._states(one)
            else:
                with torch.no_grad():
                    states = self._frozen_states(one)
            missing = -len(states) % self.options.stack
            states = torch.nn.functional.pad(states, (0, 0, 0, missing))
            embeddings.append(self._projector(states.reshape(-1, states.shape[1] * self.options.stack)))
        return embeddings

    @property
    def _is_whisper(self) -> bool:
        return str(self._model.config.model_type) == "whisper"

    def _read(self, media: Media) -> Any:
        rate, longest = int(self._extractor.sampling_rate), self.options.max_seconds
        if self._is_whisper and self._extractor.chunk_length < longest:
            # Its feature extractor would drop the rest without an error.
            return read_audio(media, rate, float(self._extractor.chunk_length), "cut it: Whisper reads no longer audio")
        return read_audio(media, rate, longest)

    def _frames(self, samples: int) -> int:
        if self._wave:
            return int(self._model._get_feat_extract_output_lengths(samples))
        frames = -(-samples // (2 * int(self._extractor.hop_length)))
        return min(int(self._model.config.max_source_positions), frames)

    def _states(self, media: Media) -> torch.Tensor:
        """[frames, width], in float32 on the model's device."""
        samples = self._samples(media)
        device = next(self._model.parameters()).device
        inputs = self._extractor(samples, sampling_rate=self._extractor.sampling_rate, return_tensors="pt").to(device)
        kept = {name: inputs[name] for name in ("input_features", "input_values") if name in inputs}
        states: torch.Tensor = self._model(**kept).last_hidden_state[0].float()
        return states[: self._frames(len(samples))]


def load_audio_model(folder: Any) -> tuple[Any, Any]:
    """The feature extractor and the encoder of a folder, in float32 and eval mode. Raises BackboneError."""
    from transformers import AutoFeatureExtractor, AutoModel

    try:
        with quiet_transformers():
            extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
            model = AutoModel.from_pretrained(folder, dtype="float32", trust_remote_code=False, use_safetensors=True)
    except Exception as error:  # transformers may raise anything for missing or damaged files
        raise BackboneError(f"the audio model in {folder} cannot be loaded: {one_line(error)}") from error
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return extractor, model.eval()
