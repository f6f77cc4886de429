"""``lm``: every token of a text once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.answer import Answer
from gpttasks.backbones.scratch import train_bpe
from gpttasks.backbones.tokenizer import TextTokenizer
from gpttasks.heads.lm import LanguageModel
from gpttasks.requests import Rolling, RollingReply
from gpttasks.tasks.example import Example, Part

BPE = TextTokenizer(train_bpe(["the good film, a bad film\n"] * 9, 300, 64))
END = BPE.end


class Backbone:
    def __init__(self, context, tokenizer=BPE):
        self.context, self.tokenizer = context, tokenizer


def items(text, context, tokenizer=BPE):
    head = LanguageModel()
    head.bind(Backbone(context, tokenizer), Example(text))
    return list(head.items(Example(text)))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), context=st.integers(8, 40))
def test_every_token_is_a_target_exactly_once(text, context):
    ids = [END, *BPE.encode(text), END]
    found = items(text, context)
    targets = [token for item in found for token in item.sequences[0].ids[item.sequences[0].target_start :]]
    assert targets == ids[1:]
    before = END
    for item in found:
        (sequence,) = item.sequences
        assert 2 <= len(sequence.ids) <= context
        assert sequence.ids[0] == before, "a window begins with the last token of the one before"
        assert item.counts == {"lm": len(sequence.ids) - 1}
        before = sequence.ids[-1]


class Bare:
    """A tokenizer with neither BOS nor end of text."""

    starts_with = ()
    fallback_start = None
    end = None

    def encode(self, text):
        return BPE.encode(text)


@pytest.mark.parametrize(("text", "windows"), [("", 0), ("a", 0), ("ab" * 4, 1), ("x" * 9, 2)])
def test_without_start_and_end_tokens(text, windows):
    found = items(text, 8, Bare())
    assert len(found) == windows
    assert sum(item.counts["lm"] for item in found) == max(0, len(BPE.encode(text)) - 1)


def test_request_and_answer():
    example = Example(["Once ", Part("upon a time", "passage")])
    head = LanguageModel()
    assert head.requests(example) == [Rolling(example.prompt)]
    assert head.answer(example, [RollingReply(-12.5, 4, 16)]) == Answer(12.5, "", (12.5, 4.0, 16.0))


def test_loss_is_what_is_scored_and_the_end(tiny_gpt2_folder):
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
    from gpttasks.engine.local import LocalEngine

    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    head = LanguageModel()
    example = Example("The film was a quiet wonder.")
    head.bind(backbone, example)
    (item,) = head.items(example)
    ids = item.sequences[0].ids
    loss = head.loss(backbone.forward([ids]), [item])["lm"].item()
    (scored,) = LocalEngine(backbone).answer(head.requests(example))
    end = backbone.forward([ids]).targets([len(ids) - 1]).nll().item()
    assert loss == pytest.approx(-scored.logprob + end, abs=1e-4)
