"""``lm``: every token of a text once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.answer import Answer
from gpttasks.backbones.scratch import train_bpe
from gpttasks.errors import BackboneError
from gpttasks.example import Example, Part, join_answer, prompt_text
from gpttasks.heads.lm import LanguageModel, LanguageModelOptions
from gpttasks.requests import Cut, LogLikelihood, LogLikelihoodReply, Rolling, RollingReply
from gpttasks.tokens.tokenizer import TextTokenizer

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
    targets = [token for item in found for token in item.rows[0].ids[item.rows[0].start :]]
    assert targets == ids[1:]
    before = END
    for item in found:
        (sequence,) = item.rows
        assert 2 <= len(sequence.ids) <= context
        assert sequence.ids[0] == before, "a window begins with the last token of the one before"
        assert item.counts == {"lm": len(sequence.ids) - 1}
        before = sequence.ids[-1]


class Bare:
    """A tokenizer with neither BOS nor end of text."""

    starts_with = ()
    fallback_start = None
    end = None

    def encode(self, text, special=()):
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


def test_a_stride_is_asked_for_and_moves_no_training():
    head, example = LanguageModel(LanguageModelOptions(stride=3)), Example("the good film, a bad film " * 3)
    assert head.requests(example) == [Rolling(example.prompt, 3)]
    head.bind(Backbone(12), example)
    assert list(head.items(example)) == items(prompt_text(example.prompt), 12)
    with pytest.raises(ValidationError):
        LanguageModelOptions(stride=0)


@pytest.mark.parametrize(
    ("prompt", "separator", "continuation"),
    [("the", " ", " film"), ("the ", " ", "film"), ("the\n", " ", "film"), ("the", "\n", "\nfilm"), ("", " ", "film")],
)
def test_of_an_example_with_a_target_the_target_is_asked_for(prompt, separator, continuation):
    head = LanguageModel(LanguageModelOptions(separator=separator, stride=2))
    example = Example(prompt, target="film")
    assert head.requests(example) == [LogLikelihood(example.prompt, continuation, preferred=True)]
    for greedy in (True, False):
        answer = head.answer(example, [LogLikelihoodReply(-3.5, 2, greedy, bytes=7)])
        assert answer == Answer(3.5, "", (3.5, 2.0, 7.0), {"greedy": greedy})


def test_a_reply_without_bytes_is_refused():
    with pytest.raises(BackboneError, match="example e1: the reply to a log-likelihood has 0 bytes"):
        LanguageModel().answer(Example("the", target="film", id="e1"), [LogLikelihoodReply(-3.5, 2, True)])


@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    target=st.text("the good film", min_size=1, max_size=20).filter(lambda text: not text[0].isspace()),
)
def test_only_the_target_is_learned(prompt, target):
    head, example = LanguageModel(), Example(prompt, target=target)
    head.bind(Backbone(200), example)
    (item,) = head.items(example)
    (sequence,) = item.rows
    whole = join_answer(prompt, target, " ")
    assert list(sequence.ids) == [END, *BPE.encode(whole)], "no end: a target may go on"
    alone = [END, *BPE.encode(prompt.rstrip())]
    common = max(n for n in range(len(alone) + 1) if alone[:n] == list(sequence.ids[:n]))
    assert sequence.start == min(common, len(sequence.ids) - 1)
    assert item.counts == {"lm": len(sequence.ids) - sequence.start}
    assert item.cut == Cut()


def test_a_passage_is_cut_before_a_target():
    example = Example([Part("the good film " * 20, "passage"), "a bad"], target="film")
    head = LanguageModel()
    head.bind(Backbone(16), example)
    (item,) = head.items(example)
    (sequence,) = item.rows
    assert len(sequence.ids) <= 16
    assert BPE.decode(sequence.ids).endswith("a bad film")
    assert item.cut.tokens == 1 + len(BPE.encode("the good film " * 20 + "a bad film")) - len(sequence.ids)


def test_loss_of_a_target_is_what_is_scored(tiny_gpt2_folder):
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
    from gpttasks.engine.plain import LocalEngine

    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    head = LanguageModel()
    examples = [Example("The film was", target="a quiet wonder"), Example("The price:", target="17 dollars")]
    head.bind(backbone, examples[0])
    found = [item for example in examples for item in head.items(example)]
    outputs = backbone.forward([item.rows[0].ids for item in found])
    replies = LocalEngine(backbone).answer([head.requests(example)[0] for example in examples])
    assert head.loss(outputs, found)["lm"].item() == pytest.approx(-sum(r.logprob for r in replies), abs=1e-4)


def test_loss_is_what_is_scored_and_the_end(tiny_gpt2_folder):
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
    from gpttasks.engine.plain import LocalEngine

    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    head = LanguageModel()
    example = Example("The film was a quiet wonder.")
    head.bind(backbone, example)
    (item,) = head.items(example)
    ids = item.rows[0].ids
    loss = head.loss(backbone.forward([ids]), [item])["lm"].item()
    (scored,) = LocalEngine(backbone).answer(head.requests(example))
    end = backbone.forward([ids]).targets([len(ids) - 1]).nll().item()
    assert loss == pytest.approx(-scored.logprob + end, abs=1e-4)
