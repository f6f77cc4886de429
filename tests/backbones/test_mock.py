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
from gpttasks.backbones.mock import Mock, MockOptions
from gpttasks.errors import BackboneError, DataError
from gpttasks.example import Example, Part, as_prompt
from gpttasks.heads.choice import Choice
from gpttasks.heads.generate import GenerateOptions, GenerateText
from gpttasks.heads.lm import LanguageModel
from gpttasks.requests import Cut, Generate, LogLikelihood, Readout, Rolling
from gpttasks.tokens.byte_tokenizer import ByteTokenizer

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


def test_an_answer_missing_in_the_script_is_an_error():
    with pytest.raises(BackboneError, match=r"no ' great' after 'A dull film\.'"):
        ask(mock(mode="scripted", script=SCRIPT), "A dull film.", " great")
    with pytest.raises(BackboneError, match="no values for 'A film'"):
        mock(values={"play": [1.0]}).answer([Readout(as_prompt("A film"), "classifier")])
    with pytest.raises(BackboneError, match="no text to generate after 'A film'"):
        write(mock(mode="scripted", texts={"play": "yes"}), "A film")
    with pytest.raises(TypeError, match="got str, expected LogLikelihood"):
        mock().answer(["what?"])


def test_readout():
    (reply,) = mock(values={"film": [0.5, -1.5]}).answer([Readout(as_prompt("A film"), "classifier")])
    assert reply.values == (0.5, -1.5)


def test_uniform_is_eight_bits_per_byte():
    backbone = mock(mode="uniform")
    reply = ask(backbone, "A film:", " bon")
    assert (reply.logprob, reply.greedy) == (pytest.approx(-4 * math.log(256)), False)
    (rolling,) = backbone.answer([Rolling(as_prompt("größer"))])
    assert -rolling.logprob / math.log(2) / rolling.bytes == pytest.approx(8)


# White space at the end of a prompt is predicted with the continuation, so that it would count twice.
unspaced = unicode.map(str.rstrip)


@given(prompt=unspaced, first=unspaced.filter(bool), second=unicode.filter(bool))
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


def write(backbone, prompt, max_tokens=50, **options):
    (reply,) = backbone.answer([Generate(as_prompt(prompt), max_tokens, **options)])
    return reply


@pytest.mark.parametrize(
    ("prompt", "text", "keep", "written"),
    [
        ("Colour:", " red\nmore", False, " red"),
        ("Colour: ", " red\nmore", False, "red"),
        ("Colour:\n", "\nred\nmore", False, "red"),  # the line break of the prompt is not the stop
        ("Colour:\n", "\nred\nmore", True, ""),
        ("Colour: ", " red\nmore", True, " red"),
        ("Colour: ", "red", False, "red"),
    ],
)
def test_white_space_at_the_prompts_end_is_removed_from_the_text_once(prompt, text, keep, written):
    assert write(mock(texts={"Colour": text}), prompt, stop=("\n",), keep_space=keep).text == written


TEXTS = {"price": " 3 dollars.\nNext", "": " größer"}


@pytest.mark.parametrize(
    ("prompt", "options", "expected"),
    [
        ("The price is", {}, (" 3 dollars.\nNext", 17, "end")),
        ("The price is", {"stop": ("\n",)}, (" 3 dollars.", 12, "stop")),
        ("The price is", {"stop": ("never", "lar", "3 d")}, (" ", 4, "stop")),
        ("The price is", {"stop": ("dollar", "lar")}, (" 3 ", 9, "stop")),
        ("The price is", {"max_tokens": 16}, (" 3 dollars.\nNext", 16, "length")),
        ("The price is", {"max_tokens": 5, "stop": ("dollar",)}, (" 3 do", 5, "length")),
        ("How big?", {}, (" größer", 10, "end")),
        ("How big?", {"max_tokens": 4}, (" gr\ufffd", 4, "length")),
    ],
)
def test_texts(prompt, options, expected):
    reply = write(mock(mode="scripted", texts=TEXTS), prompt, **options)
    assert (reply.text, reply.tokens, reply.finish) == expected
    assert reply.cut == Cut()


def test_texts_have_the_log_probability_that_is_scored():
    reply = write(mock(texts=TEXTS), "The price is", 16)
    assert reply.logprob == pytest.approx(ask(mock(), "The price is", " 3 dollars.\nNext").logprob)
    uniform = write(mock(mode="uniform", texts=TEXTS), "The price is")
    assert uniform.logprob == pytest.approx(-17 * math.log(256))


def test_texts_by_hash():
    texts = [write(mock(seed=seed), prompt).text for seed in (1, 2) for prompt in ("A", "B")]
    assert len(set(texts)) == 4
    assert all(text.strip().replace(" ", "").isalpha() for text in texts)
    assert texts == [write(mock(seed=seed), prompt).text for seed in (1, 2) for prompt in ("A", "B")]
    drawn = [write(mock(), "A", temperature=temperature, seed=seed).text for temperature in (0, 1) for seed in (1, 2)]
    assert drawn[0] == drawn[1] == texts[0]
    assert len(set(drawn)) == 3


def test_prompts_are_cut_so_that_the_text_fits():
    reply = write(mock(context=30, texts={"": "yes"}), [Part("x" * 50, "passage"), "\nIs:"], 10)
    assert reply.cut.tokens == 1 + 50 + 4 - 20
    with pytest.raises(
        DataError, match="max_tokens is 30, which leaves no room for a prompt in a context of 30 tokens"
    ):
        write(mock(context=30), "Is:", 30)


def test_values_at_the_tokens_of_a_passage():
    prompt = as_prompt(["Is: ", Part("aé!", "passage"), "?"])
    values = [float(number) for number in range(10)]
    (reply,) = mock(values={"aé": values}).answer([Readout(prompt, "span", "passage")])
    assert (reply.values, reply.places) == (tuple(values), ((0, 1), (1, 2), (1, 2), (2, 3)))
    for wrong in ([], values[:9], values[:4]):
        with pytest.raises(BackboneError, match=rf"{len(wrong)} values .* 5 vectors: one per token of the passage"):
            mock(values={"aé": wrong}).answer([Readout(prompt, "span", "passage")])
    with pytest.raises(DataError, match="2 passages"):
        mock(values={"": values}).answer([Readout(prompt + prompt, "span", "passage")])


def test_hashes_depend_on_seed_and_prompt():
    assert ask(mock(seed=1), "A", " b") != ask(mock(seed=2), "A", " b")
    assert ask(mock(), "A", " b") != ask(mock(), "B", " b")


def test_passages_are_cut_as_for_any_model():
    reply = ask(mock(context=20), [Part("x" * 50, "passage"), "\nIs:"], " good")
    assert reply.cut.tokens == 1 + 50 + 4 + 5 - 20


def test_progress_counts_requests_and_tokens():
    calls = []
    asked = [Rolling(as_prompt("abc")), LogLikelihood(as_prompt("ab"), "c"), Generate(as_prompt("ab"), 2)]
    mock().answer(asked, lambda *call: calls.append(call))
    assert calls == [(1, 3), (1, 4), (1, 5)]


def test_digests_depend_on_the_options():
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
    with pytest.raises(DataError, match="not valid Unicode"):
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
    writer = GenerateText(GenerateOptions(stop=["."]))
    writer.bind(written := mock(texts={"dull": " So it is. "}), example)
    given = writer.answer(example, written.answer(writer.requests(example)))
    assert (given.value, given.text, given.detail["finish"]) == ("So it is", "So it is", "stop")


def test_no_torch():
    code = "import sys, gpttasks.backbones.mock; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
