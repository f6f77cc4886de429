"""How texts end and how tokens are drawn, with models that generate given texts."""

from types import SimpleNamespace

import pytest
import scipy.stats
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokens.byte_tokenizers import film_bpe
from transformers import LogitsProcessorList
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gpttasks.engine.generation import generate
from gpttasks.errors import RunFailed
from gpttasks.example import as_prompt
from gpttasks.requests import Generate
from gpttasks.tokens.stops import StopTexts
from gpttasks.tokens.tokenizer import TextTokenizer

BPE = TextTokenizer(film_bpe())

QUESTION = as_prompt("Is it good?")


class Model:
    """Gives the same logits after every prompt, or logits that generate ``text``; it returns no keys and values."""

    generation_config = None

    def __init__(self, logits=None, text=None):
        self.fixed = logits
        self.ids = [] if text is None else [*BPE.encode(text), BPE.end]
        self.asked = 0

    def forward(self, input_ids, logits_to_keep):
        place = input_ids.shape[1] - 1 - len(BPE.encode(QUESTION[0].text))
        assert input_ids[0].tolist()[-place or 999 :] == self.ids[:place] or self.fixed is not None
        self.asked += 1
        logits = torch.zeros(len(BPE.inner)) if self.fixed is None else torch.tensor(self.fixed)
        if self.fixed is None:
            logits[self.ids[place]] = 9.0
        return SimpleNamespace(logits=logits.expand(1, 1, -1))

    __call__ = forward


def backbone_of(model, tokenizer=BPE):
    return SimpleNamespace(
        tokenizer=tokenizer,
        context=256,
        device="cpu",
        causal_lm=model,
        inputs=lambda ids: {"input_ids": ids},
        supports=SimpleNamespace(cache_name=None),
    )


def ask(model, max_tokens=100, **options):
    return generate(backbone_of(model), Generate(QUESTION, max_tokens, **options))


STOPS = st.lists(st.text("god film,", min_size=1, max_size=5), max_size=3).map(tuple)


def ends_of(text, stop):
    """(first character, character after the last) of every stop text in a text that is not before the answer."""
    answer = next((place for place, letter in enumerate(text) if not letter.isspace()), len(text))
    found = [(place, place + len(word)) for word in stop for place in range(len(text)) if text.startswith(word, place)]
    return [(begin, end) for begin, end in found if begin >= answer or text[answer:end].strip()]


@given(text=st.text("god film,\n", min_size=1, max_size=30), stop=STOPS, max_tokens=st.integers(1, 20))
@example(text="a good film", stop=("od f",), max_tokens=20)
@example(text="a good film", stop=("film", "good"), max_tokens=20)
@example(text="a good film", stop=("d", "oo", "g"), max_tokens=20)
@example(text="a good film", stop=("bad",), max_tokens=20)
@example(text="a good film", stop=("a ", "g"), max_tokens=20)
@example(text=" \n a good", stop=("\n",), max_tokens=20)
@example(text="\ngood film", stop=("\ng",), max_tokens=20)
@example(text="  good\n", stop=(" ",), max_tokens=20)
def test_how_a_text_ends(text, stop, max_tokens):
    ends = [end for _, end in BPE.offsets(text)]
    whole = min([end for _, end in ends_of(text, stop)], default=None)
    model = Model(text=text)
    reply = ask(model, max_tokens, stop=stop)
    assert model.asked == reply.tokens, "no more tokens than needed are generated"
    stopped_at = None if whole is None else next(n for n, end in enumerate(ends, 1) if end >= whole)
    if stopped_at is not None and stopped_at <= max_tokens:
        seen = text[: ends[stopped_at - 1]]
        before = min(begin for begin, _ in ends_of(seen, stop))
        assert (reply.text, reply.tokens, reply.finish) == (seen[:before], stopped_at, "stop")
    elif len(ends) < max_tokens:
        assert (reply.text, reply.tokens, reply.finish) == (text, len(ends) + 1, "end")
    else:
        assert (reply.text, reply.tokens, reply.finish) == (text[: ends[max_tokens - 1]], max_tokens, "length")


def test_stops_that_span_tokens_and_several_stops():
    assert len(BPE.encode("a good film")) < len("a good film") - 3, "the tokenizer was trained to have long tokens"
    assert ask(Model(text="a good film"), stop=("od fi",)).text == "a go"
    assert ask(Model(text="a good film"), stop=("film", "good")).text == "a "
    assert ask(Model(text="a good film"), stop=("od", "good")).text == "a ", "one token ends both"
    assert ask(Model(text="a good film"), stop=("never",), max_tokens=2).finish == "length"
    assert ask(Model(text="a good film"), stop=("a",)).text == ""


@pytest.mark.parametrize(
    ("text", "separator", "stop", "answer", "finish"),
    [
        ("\ngood\nbad", "", "\n", "\ngood", "stop"),
        ("\n\ngood\n\nbad", "", "\n\n", "\n\ngood", "stop"),
        ("\n film: good", "", "\n film:", "", "stop"),  # the next question, not the beginning of an answer
        (" a: good. a: bad", " a:", "a:", " good. ", "stop"),
        (" a: good\n", " a:", ":", " good\n", "end"),
        (" a good: film", " a:", ":", " a good", "stop"),  # another text than the separator
        ("\n\n\n", "", "\n", "\n\n\n", "end"),
    ],
)
def test_no_answer_ends_before_it_begins(text, separator, stop, answer, finish):
    reply = ask(Model(text=text), stop=(stop,), separator=separator)
    assert (reply.text, reply.finish) == (answer, finish)


def test_with_keep_space_a_stop_text_may_come_first():
    assert ask(Model(text="\ngood\nbad"), stop=("\n",), keep_space=True).text == ""


WITH_SPECIAL = film_bpe()
WITH_SPECIAL.add_special_tokens({"additional_special_tokens": ["<|eot|>", "<|sep|>"]})


@pytest.mark.parametrize(
    ("stop", "answer", "stopped"),
    [
        ("<|eot|>", "good film\n", True),
        ("<|eot|> bad", "good film\n", True),
        ("\n<|eot|>", "good film", True),
        ("film\n<|eot|> ", "good ", True),
        ("<|eot|><|sep|>", "good film\n bad", True),
        ("<|sep|> a", "good film\n bad", True),
        ("<|eot|>good", "good film\n bad a", False),
        ("< |eot|>", "good film\n bad a", False),
    ],
)
def test_a_stop_text_with_a_special_token_and_other_text(stop, answer, stopped):
    ids = WITH_SPECIAL("good film\n<|eot|> bad<|eot|><|sep|> a", add_special_tokens=False)["input_ids"]
    stops = StopTexts(TextTokenizer(WITH_SPECIAL), Generate(QUESTION, 100, (stop,)))
    assert stops.read(ids) == (answer, stopped)


def test_half_a_character_at_the_end_is_shown_as_such():
    euro = len(BPE.encode("€"))
    assert euro == 3
    assert ask(Model(text="€"), euro).text == "€"
    assert ask(Model(text="€"), euro - 1).text == "\ufffd"


LOGITS = [2.0, 1.5, 0.5, 1.75, -1.0, 0.0, 3.0, 0.25]

DRAWS = 1500


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, 1.0), (0.5, None, 1.0), (3.0, None, 1.0), (1.0, 3, 1.0), (2.0, None, 0.7), (3.0, 4, 0.7)],
)
def test_tokens_are_drawn_as_often_as_transformers_says(temperature, top_k, top_p):
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)])
    if top_k:
        warpers.insert(1, TopKLogitsWarper(top_k))
    wanted = warpers(None, torch.tensor([LOGITS]))[0].softmax(-1)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    backbone = backbone_of(Model(LOGITS), SpellingIds())
    drawn = [int(generate(backbone, Generate(QUESTION, 1, seed=seed, **options)).text) for seed in range(DRAWS)]
    counts = torch.bincount(torch.tensor(drawn), minlength=len(LOGITS))
    assert not counts[wanted == 0].any()
    possible = wanted > 0
    expected = DRAWS * wanted[possible].double()
    assert scipy.stats.chisquare(counts[possible], expected * DRAWS / expected.sum()).pvalue > 1e-3


class SpellingIds:
    """``BPE`` without an end token; it decodes ids to their numbers."""

    special_ids = BPE.special_ids
    starts_with, fallback_start, end = BPE.starts_with, BPE.fallback_start, None

    def encode(self, text, special=()):
        return BPE.encode(text)

    def decode(self, ids):
        return " ".join(map(str, ids))


def test_tokens_ruled_out_with_minus_infinity_are_never_drawn():
    model = Model([-torch.inf] * 7 + [1.0])
    backbone = backbone_of(model, SpellingIds())
    for temperature in (0.0, 2.0):
        reply = generate(backbone, Generate(QUESTION, 3, temperature=temperature))
        assert (reply.text, reply.logprob) == ("7 7 7", 0.0)


@pytest.mark.parametrize("bad", [[torch.nan] * 8, [1.0] * 7 + [torch.nan], [1.0] * 7 + [torch.inf], [-torch.inf] * 8])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_numbers_that_are_not_finite_are_named(bad, temperature):
    with pytest.raises(RunFailed, match="numbers for token 1 after the prompt are not finite") as caught:
        ask(Model(bad), temperature=temperature)
    assert "Is it good?" in str(caught.value)


@pytest.mark.parametrize("tokens", [0, -1])
def test_max_tokens_below_1_is_an_error(tokens):
    with pytest.raises(ValueError, match=f"max_tokens is {tokens}, expected 1 or more"):
        Generate(as_prompt("A"), tokens)
