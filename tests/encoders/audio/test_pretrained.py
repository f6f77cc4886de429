"""Pretrained audio encoders: the states from transformers, as many as ``length`` says."""

import numpy as np
import pytest
import torch
from test_decode import audio, tone
from tiny_audio import save_tiny_audio

from gpttasks.encoders.audio.pretrained import PretrainedAudio, PretrainedAudioOptions
from gpttasks.errors import BackboneError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder("whisper")``: a tiny random model of that type."""

    def made(kind):
        path = tmp_path_factory.mktemp("audio") / kind
        save_tiny_audio(kind, path)
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
    with pytest.raises(BackboneError, match=r"the folder .* does not exist"):
        PretrainedAudio(PretrainedAudioOptions(path=str(tmp_path / "gone"))).bind(8)
    encoder = PretrainedAudio(PretrainedAudioOptions(path=str(folder("whisper")), max_seconds=1))
    encoder.bind(8)
    with pytest.raises(DataError, match=r"lasts 1\.5 s"):
        encoder.length(audio(tone(1.5)))
    wave = PretrainedAudio(PretrainedAudioOptions(path=str(folder("hubert"))))
    wave.bind(8)
    with pytest.raises(DataError, match="is too short for"):
        wave.length(audio(tone(0.0005)))
