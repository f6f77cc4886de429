"""The scripted backbone."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.answer import Answer
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.mock import ByteTokenizer, Mock, MockOptions
from gpttasks.errors import BackboneError, DataError
from gpttasks.heads.choice import Choice
from gpttasks.heads.lm import LanguageModel
from gpttasks.requests import LogLikelihood, Readout, Rolling
from gpttasks.tasks.example import Example, Part, as_prompt

SCRIPT = {
    "wonderful": {"positive": -0.1, "negative": -2.5},
    "dull": {"positive": -3.0, "negative": -0.2},
    "": {"maybe": -1.0, "": -40.0},
}
unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def mock(**options):
    backbone = Mock(MockOptions(**options))
    backbone.load(LoadSettings())
    return backbone


def ask(backbone, prompt, continuation):
    (reply,) = backbone.answer([LogLikelihood(as_prompt(prompt), continuation)])
    return reply


def test_script():
    backbone = mock(mode="scripted", script=SCRIPT)
    reply = ask(backbone, "A wonderful film.", " positive")
    assert (reply.logprob, reply.tokens, reply.greedy) == (-0.1, len(" positive"), True)
    assert ask(backbone, "A dull film.", "positive\n").logprob == -3.0
    assert ask(backbone, "A dull but wonderful film.", " positive").logprob == -0.1, "the first line that fits"
    assert ask(backbone, "A dull film.", " maybe").logprob == -1.0, "a line that has the continuation"
    (rolling,) = backbone.answer([Rolling(as_prompt("Héllo"))])
    assert (rolling.logprob, rolling.tokens, rolling.bytes) == (-40.0, 6, 6)


def test_what_the_script_leaves_open_is_an_error():
    with pytest.raises(BackboneError, match=r"no ' great' after 'A dull film\.'"):
        ask(mock(mode="scripted", script=SCRIPT), "A dull film.", " great")
    with pytest.raises(BackboneError, match="no values for 'A film'"):
        mock(values={"play": [1.0]}).answer([Readout(as_prompt("A film"), "classifier")])
    with pytest.raises(TypeError, match="no answer to a str"):
        mock().answer(["what?"])


def test_readout():
    (reply,) = mock(values={"film": [0.5, -1.5]}).answer([Readout(as_prompt("A film"), "classifier")])
    assert reply.values == (0.5, -1.5)


def test_uniform_is_eight_bits_a_byte():
    backbone = mock(mode="uniform")
    reply = ask(backbone, "A film:", " bon")
    assert (reply.logprob, reply.greedy) == (pytest.approx(-4 * math.log(256)), False)
    (rolling,) = backbone.answer([Rolling(as_prompt("größer"))])
    assert -rolling.logprob / math.log(2) / rolling.bytes == pytest.approx(8)


@given(prompt=unicode, first=unicode.filter(bool), second=unicode.filter(bool))
def test_hashes_behave_like_a_causal_model(prompt, first, second):
    backbone = mock()
    whole = ask(backbone, prompt, first + second)
    assert whole == ask(mock(), prompt, first + second)
    parts = ask(backbone, prompt, first).logprob + ask(backbone, prompt + first, second).logprob
    assert whole.logprob == pytest.approx(parts)
    assert whole.logprob < 0
    (rolling,) = backbone.answer([Rolling(as_prompt(prompt + first))])
    (before,) = backbone.answer([Rolling(as_prompt(prompt))])
    assert rolling.logprob - before.logprob == pytest.approx(ask(backbone, prompt, first).logprob)


def test_hashes_depend_on_seed_and_prompt():
    assert ask(mock(seed=1), "A", " b") != ask(mock(seed=2), "A", " b")
    assert ask(mock(), "A", " b") != ask(mock(), "B", " b")


def test_passages_are_cut_as_for_any_model():
    reply = ask(mock(context=20), [Part("x" * 50, "passage"), "\nIs:"], " good")
    assert reply.cut.tokens == 1 + 50 + 4 + 5 - 20


def test_progress_counts_requests_and_tokens():
    calls = []
    mock().answer([Rolling(as_prompt("abc")), LogLikelihood(as_prompt("ab"), "c")], lambda *call: calls.append(call))
    assert calls == [(1, 3), (1, 4)]


def test_digests_follow_the_options():
    assert mock(seed=1).digests() == mock().digests()
    assert mock(seed=2).digests()["weights"] != mock().digests()["weights"]
    assert mock(script=SCRIPT).capabilities() == {"context": 4096, "mode": "hash"}
    assert not Mock.trainable


@pytest.mark.parametrize("options", [{"mode": "scripted"}, {"script": {"": {"a": 0.5}}}, {"context": 2}, {"mode": "x"}])
def test_wrong_options(options):
    with pytest.raises(ValidationError):
        MockOptions(**options)


@given(unicode)
def test_tokenizer(text):
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert ids == list(text.encode())
    assert tokenizer.decode([*tokenizer.starts_with, *ids]) == text
    assert len(tokenizer.pieces([256, *ids])) == len(ids) + 1


def test_half_a_surrogate_pair():
    with pytest.raises(DataError, match="no valid Unicode"):
        ByteTokenizer().encode("\ud83d")


def test_with_heads():
    backbone = mock(mode="scripted", script=SCRIPT)
    example = Example("A dull film.", choices=("positive", "negative"), label=1)
    head = Choice()
    head.bind(backbone, example)
    answer = head.answer(example, backbone.answer(head.requests(example)))
    assert (answer.value, answer.text) == (1, "negative")
    assert answer.scores == pytest.approx(
        (math.exp(-3.0) / (total := math.exp(-3.0) + math.exp(-0.2)), math.exp(-0.2) / total)
    )
    lm = LanguageModel()
    lm.bind(backbone, example)
    assert lm.answer(example, backbone.answer(lm.requests(example))) == Answer(40.0, "", (40.0, 12.0, 12.0))


def test_no_torch():
    code = "import sys, gpttasks.backbones.mock; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
