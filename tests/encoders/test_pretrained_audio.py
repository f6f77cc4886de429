"""Pretrained audio encoders: the states that transformers gives, as many as were announced."""

import numpy as np
import pytest
import torch
from test_audio import audio, tone

from gpttasks.encoders.pretrained_audio import PretrainedAudio, PretrainedAudioOptions
from gpttasks.errors import BackboneError, DataError

WAVE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
WAVE |= {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
WAVE |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder("whisper")``: a tiny random model of that type as transformers saves it."""
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    def made(kind):
        path = tmp_path_factory.mktemp("audio") / kind
        torch.manual_seed(1)
        if kind == "whisper":
            sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
            sizes |= {"decoder_attention_heads": 2, "num_mel_bins": 20, "max_source_positions": 100, "vocab_size": 50}
            sizes |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
            extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=2)
        else:
            sizes, extractor = WAVE, Wav2Vec2FeatureExtractor()
        AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(path)
        extractor.save_pretrained(path)
        return path

    return made


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2", "hubert", "wavlm"])
@pytest.mark.parametrize("tune", [False, True])
def test_the_states_of_transformers_as_many_as_announced(folder, kind, tune):
    from transformers import AutoFeatureExtractor, AutoModel

    path = folder(kind)
    encoder = PretrainedAudio(PretrainedAudioOptions(path=str(path), stack=3, tune=tune))
    encoder.bind(24)
    some = [audio(tone(seconds)) for seconds in (0.2, 0.71)]
    found = encoder.embed(some)
    assert [len(one) for one in found] == [encoder.length(one) for one in some]
    assert {one.shape[1] for one in found} == {24}
    extractor, model = AutoFeatureExtractor.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    model = model.get_encoder() if kind == "whisper" else model
    inputs = extractor(np.asarray(encoder._samples(some[1])), sampling_rate=16000, return_tensors="pt")
    kept = {name: value for name, value in inputs.items() if name.startswith("input")}
    with torch.no_grad():
        states = model(**kept).last_hidden_state[0]
        whole = len(found[1]) - 1  # the last embedding may hold padding
        stacked = encoder._projector(states[: whole * 3].reshape(whole, 48))
        torch.testing.assert_close(stacked, found[1].detach()[:-1], atol=1e-4, rtol=1e-4)
    names = {name for name, value in encoder.modules().named_parameters() if value.requires_grad}
    assert any(name.startswith("model.") for name in names) == tune
    sum(one.sum() for one in found).backward()
    assert all(value.grad is not None for name, value in encoder.modules()["projector"].named_parameters())


def test_what_cannot_be_used_is_told(folder, tiny_gpt2_folder, tmp_path):
    with pytest.raises(BackboneError, match=r"audio model in .* cannot be loaded"):
        PretrainedAudio(PretrainedAudioOptions(path=str(tiny_gpt2_folder))).bind(8)
    with pytest.raises(BackboneError, match="there is no folder"):
        PretrainedAudio(PretrainedAudioOptions(path=str(tmp_path / "gone"))).bind(8)
    encoder = PretrainedAudio(PretrainedAudioOptions(path=str(folder("whisper")), max_seconds=1))
    encoder.bind(8)
    with pytest.raises(DataError, match=r"lasts 1\.5 s"):
        encoder.length(audio(tone(1.5)))
    wave = PretrainedAudio(PretrainedAudioOptions(path=str(folder("hubert"))))
    wave.bind(8)
    with pytest.raises(DataError, match="is too short for"):
        wave.length(audio(tone(0.0005)))
