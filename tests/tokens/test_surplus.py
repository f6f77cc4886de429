"""Texts far beyond the context are cut exactly as if they were tokenised whole, and their tokens are counted."""

import re

import pytest
from byte_tokenizers import BYTE_TOKENIZERS
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from word_mark_tokenizers import WORD_MARKS

from gpttasks.errors import GpttasksError, TooLong
from gpttasks.example import Part
from gpttasks.requests import NOTHING_CUT, Generate, LogLikelihood, Readout
from gpttasks.tokens import cut, rows, surplus
from gpttasks.tokens.byte_tokenizer import ByteTokenizer
from gpttasks.tokens.rows import row_with_answer, rows_of_request

TOKENIZERS = {"bytes": ByteTokenizer(), **BYTE_TOKENIZERS, **WORD_MARKS}
WORDS = [
    "the",
    " the",
    "answer",
    " is",
    " a ",
    "   ",
    "\n",
    "\n\n",
    "film",
    "zoo",
    "x",
    " x",
    "中文",
    "é",
    "э",
    "э" * 9,
]
WORDS += ["</s>", "<eos>", ".", ", ", "good", "0", "aaaaaaaa"]


def texts(smallest, largest):
    return st.lists(st.sampled_from(WORDS), min_size=smallest, max_size=largest).map("".join)


@st.composite
def prompts(draw):
    shots = [Part(draw(texts(1, 200)), "shot") for _ in range(draw(st.integers(0, 2)))]
    keep = draw(st.sampled_from(["start", "end"]))
    first = Part(draw(texts(250, 900)), "passage", keep=keep, special=draw(st.sampled_from([(), ((0, 500),)])))
    more = [Part("\nand:"), Part(draw(texts(1, 400)), "passage", keep=keep)] if draw(st.booleans()) else []
    return (*shots, Part(draw(texts(0, 3))), first, *more, Part(draw(st.sampled_from(["", "\nAnswer:", " "]))))


def cleared():
    rows._kept_rows._kept.clear()
    surplus._sufficient.cache_clear()
    surplus._count.cache_clear()


def made(tokenizer, request, context):
    """The rows, or the error."""
    cleared()
    try:
        found = rows_of_request(tokenizer, request, context)
    except GpttasksError as error:
        return str(error)
    return [(list(row.ids), row.start, row.bytes, row.crosses, row.at, row.cut) for row in found]


def number_free(error):
    """A message without the number of tokens, which may differ by a few."""
    return re.sub(r"has [0-9]+ tokens", "has N tokens", error)


def whole(tokenizer, request, context):
    """The rows as they are made from the whole text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "without_surplus", lambda tokenizer, prompt, context: (prompt, NOTHING_CUT))
        return made(tokenizer, request, context)


@pytest.fixture
def small(monkeypatch):
    for name, value in {"LEAST": 60, "PER_TOKEN": 2, "MARGIN": 10, "STEP": 90, "OVERLAP": 40}.items():
        monkeypatch.setattr(surplus, name, value)
    # One more token of a passage may make a row shorter, so several cuts are right: search both texts from one place.
    search = cut._last_that_fits
    monkeypatch.setattr(cut, "_last_that_fits", lambda fits, too_many, guess: search(fits, too_many, 1))
    yield
    cleared()


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking long texts takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kind=st.sampled_from(sorted(TOKENIZERS)), prompt=prompts(), context=st.integers(6, 30), beside=st.booleans())
@example("bytes", (Part("a" * 500, "passage"),), 10, True)
@example("metaspace-bpe", (Part("э" * 5000, "passage"),), 10, True)
def test_rows_are_those_of_the_whole_text(small, kind, prompt, context, beside):
    tokenizer = TOKENIZERS[kind]
    requests = [
        LogLikelihood(prompt, " good", (" good", " bad film") if beside else ()),
        Generate(prompt, max_tokens=3),
        Readout(prompt, "layer"),
        Readout(tuple(part for part in prompt if part.kind != "shot")[:2], "layer", "passage"),
    ]
    for request in requests:
        found, expected = made(tokenizer, request, context), whole(tokenizer, request, context)
        if isinstance(expected, str) or isinstance(found, str):
            assert number_free(found) == number_free(expected)
            continue
        assert [row[:5] for row in found] == [row[:5] for row in expected]
        for (*_, lost), (*_, right) in zip(found, expected, strict=True):
            assert lost.shots == right.shots
            assert abs(lost.tokens - right.tokens) <= 5  # tokens that cross the ends of passages
            assert abs(lost.at_start - right.at_start) <= 5


@pytest.mark.parametrize("kind", ["bytes", "byte-level", "byte-fallback", *WORD_MARKS])
@pytest.mark.parametrize("keep", ["start", "end"])
def test_a_long_text_is_not_tokenised_with_each_choice(kind, keep, monkeypatch):
    monkeypatch.setattr(surplus, "LEAST", 4_000)
    monkeypatch.setattr(surplus, "STEP", 10_000)
    tokenizer, longest = TOKENIZERS[kind], []
    encode = type(tokenizer).encode
    words = " ".join(f"the film {number} is good, 中文 {number * 7919}." for number in range(1_500))
    prompt = (Part("Review: "), Part(words, "passage", keep=keep), Part("\nAnswer:"))
    request = LogLikelihood(prompt, " good", (" good", " bad"))
    expected = whole(tokenizer, request, 100)

    def measured(self, text, special=()):
        longest.append(len(text))
        return encode(self, text, special)

    monkeypatch.setattr(type(tokenizer), "encode", measured)
    found = made(tokenizer, request, 100)
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    assert [row[5] for row in found] == [row[5] for row in expected]  # exactly, since its end is an ordinary one
    assert max(longest) <= surplus.STEP + surplus.OVERLAP < len(words) / 3
    assert sum(longest) < 2.5 * len(words)


def test_answers_are_trained_after_the_same_tokens():
    tokenizer = TOKENIZERS["byte-level"]
    request = Generate((Part("the good film " * 20_000, "passage", keep="end"), Part("\n")), max_tokens=5)
    answered = row_with_answer(tokenizer, request, "x x", 90)
    (asked,) = rows_of_request(tokenizer, request, 90)
    assert answered.ids[: answered.start] == asked.ids
    assert answered.cut == asked.cut


def test_a_part_that_cannot_be_cut_is_refused_with_the_number_of_its_tokens():
    prompt = (Part("the good film " * 20_000), Part("\nAnswer:"))
    with pytest.raises(TooLong, match="a part of the text has 280000 tokens, but the context has room for 90"):
        rows_of_request(ByteTokenizer(), LogLikelihood(prompt, " good"), 90)


def test_a_text_that_fits_in_few_tokens_is_not_cut():
    tokenizer = TOKENIZERS["metaspace-bpe"]  # which joins unknown characters to one token
    prompt = (Part("э" * 300_000, "passage"), Part("\nAnswer:"))
    (row,) = rows_of_request(tokenizer, LogLikelihood(prompt, " good"), 60)
    assert row.cut == NOTHING_CUT
