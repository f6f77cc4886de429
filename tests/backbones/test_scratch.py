"""A new model from a config, with its own tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.scratch import Scratch, ScratchOptions, train_bpe
from gpttasks.errors import BackboneError
from gpttasks.tokens.tokenizer import TextTokenizer

SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16}
TEXTS = ["the good film was good, and 1234 people saw the good film\n"] * 5
BPE = TextTokenizer(train_bpe(TEXTS, 300, 32))


def load(texts=TEXTS, seed=1, **options):
    backbone = Scratch(ScratchOptions(vocabulary=300, context=32, **options))
    backbone.load(LoadSettings(seed=seed, texts=lambda: texts))
    return backbone


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("gpt2", SMALL),
        ("llama", {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}),
    ],
)
def test_the_model_has_the_given_config(model_type, config):
    backbone = load(model_type=model_type, config=config)
    own = backbone.model.config
    assert own.model_type == model_type
    assert own.num_hidden_layers == 1
    assert backbone.hidden_size == own.hidden_size == 16
    assert backbone.context == own.max_position_embeddings == 32
    assert own.vocab_size == len(backbone.tokenizer.inner)
    assert own.eos_token_id == own.bos_token_id == backbone.tokenizer.end


def test_weights_depend_on_the_seed():
    first, again, other = load(config=SMALL), load(config=SMALL), load(config=SMALL, seed=2)
    assert first.digests() == again.digests()
    assert first.digests()["weights"] != other.digests()["weights"]
    assert first.digests()["tokenizer"] == other.digests()["tokenizer"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "gpt9"}, "a model of type 'gpt9' cannot be made"),
        ({"model_type": "t5"}, "a model of type 't5' cannot be made"),
        ({"config": {"n_layers": 1}}, "gpt2 has no field 'n_layers'; did you mean 'n_layer'"),
        ({"config": {"n_head": 5, "n_embd": 16}}, "a model of type 'gpt2' cannot be made.*divisible"),
        ({"config": {"n_layer": "two"}}, "a model of type 'gpt2' cannot be made.*n_layer"),
        ({"config": {"vocab_size": 10}}, "set vocabulary instead"),
        ({"config": SMALL, "texts": []}, "there is no text to train a tokenizer on"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(BackboneError, match=message) as caught:
        load(**options)
    assert "\n" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_lost(text):
    assert BPE.decode(BPE.encode(text)) == text


def test_tokens():
    assert BPE.starts_with == (BPE.end,) == (BPE.fallback_start,)
    assert BPE.pieces(BPE.encode(" good film")) == [" good", " film"]
    assert BPE.pieces(BPE.encode("1234")) == ["1", "2", "3", "4"], "digits stand alone"
    assert BPE.inner("good")["input_ids"] == [BPE.end, *BPE.encode("good")]


def test_long_texts_are_encoded_like_short_ones():
    text = "the good film " * 1000  # longer than the context, and than cached texts
    assert BPE.encode(text) == BPE.encode("the") + BPE.encode(" good film the") * 999 + BPE.encode(" good film ")
