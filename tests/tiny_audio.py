"""Audio for tests: files with a tone, and tiny random models that read audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WAVE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
WAVE |= {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
WAVE |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
WHISPER: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
WHISPER |= {"decoder_attention_heads": 2, "num_mel_bins": 20, "max_source_positions": 100, "vocab_size": 50}
WHISPER |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}


def save_tiny_audio(kind: str, folder: Path) -> None:
    """Save a tiny random model and its feature extractor as transformers does."""
    import torch
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    torch.manual_seed(1)
    whisper = kind == "whisper"
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=2) if whisper else Wav2Vec2FeatureExtractor()
    AutoModel.from_config(AutoConfig.for_model(kind, **(WHISPER if whisper else WAVE))).save_pretrained(folder)
    extractor.save_pretrained(folder)


def write_tones(folder: Path) -> None:
    """Write ``0.wav``, ``1.wav`` and ``2.wav``, each a fifth of a second."""
    import numpy as np
    import soundfile

    for number in range(3):
        wave = np.sin(np.arange(1600) * (0.1 + number / 10)).astype("float32")
        soundfile.write(folder / f"{number}.wav", wave, 8000)
