"""The declarations of a backbone before and after it is loaded."""

import pytest

from gpttasks.backbones.base import Backbone, LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.mock import Mock
from gpttasks.backbones.nano import Nano
from gpttasks.backbones.scratch import Scratch
from gpttasks.errors import BackboneError
from gpttasks.example import as_prompt
from gpttasks.requests import Generate, LogLikelihood, Readout, Rolling

ALL = {LogLikelihood, Rolling, Readout, Generate}


@pytest.fixture
def hub_folder(tiny_gpt2_folder):
    return HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder), context=64))


def test_what_is_declared():
    for kind in (HuggingFace, Nano, Scratch, Mock):
        assert kind.answers == ALL
        assert kind.trainable == kind.takes_media == (kind is not Mock)
    assert not Backbone.answers


def test_tokenizer_and_context_without_weights(hub_folder):
    for backbone in (hub_folder, Nano(), Mock()):
        tokenizer, context = backbone.load_tokenizer()
        backbone.load(LoadSettings())
        assert context == backbone.context
        text = "A fine film, and no café."
        assert tokenizer.encode(text) == backbone.tokenizer.encode(text)


def test_a_tokenizer_made_from_training_texts_is_known_only_after_load():
    assert Scratch(Scratch.Options(**Scratch.sample_options)).load_tokenizer() is None


def test_a_folder_without_weights_is_refused_for_its_tokenizer_too(tmp_path):
    with pytest.raises(BackboneError, match=r"no config\.json"):
        HuggingFace(HuggingFaceOptions(path=str(tmp_path))).load_tokenizer()


def test_a_backbone_makes_its_engine(hub_folder):
    requests = [LogLikelihood(as_prompt("One two"), " three"), LogLikelihood(as_prompt("One two"), " four")]
    for backbone in (hub_folder, Mock()):
        backbone.load(LoadSettings())
        replies = [backbone.engine(tokens_per_batch=64, sharing=sharing).answer(requests) for sharing in (True, False)]
        assert [reply.logprob for reply in replies[0]] == pytest.approx([reply.logprob for reply in replies[1]])
        assert [reply.logprob for reply in backbone.answer(requests)] == pytest.approx(
            [reply.logprob for reply in replies[0]]
        )
    assert hub_folder.lm is hub_folder
    assert hub_folder.engine(sharing=False).work()["engine"] == "plain"
    mock = Mock()
    assert mock.lm is None
    assert mock.engine() is mock
