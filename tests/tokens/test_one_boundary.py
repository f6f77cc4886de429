"""One boundary for all options of an example, in ranking and training; white space before an answer belongs to it."""

from __future__ import annotations

import pytest
import torch
from byte_tokenizers import BYTE_TOKENIZERS, bytes_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from word_mark_tokenizers import WORD_MARKS

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.scratch import train_bpe
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.example import Example, Part, as_prompt
from gpttasks.heads.choice import Choice, ChoiceOptions
from gpttasks.heads.generate import GenerateOptions, GenerateText
from gpttasks.heads.lm import LanguageModel
from gpttasks.heads.rescore import Rescore
from gpttasks.requests import Generate, LogLikelihood
from gpttasks.tokens.rows import rows_of_request
from gpttasks.tokens.stops import trailing_space, without_space
from gpttasks.tokens.tokenizer import TextTokenizer

BYTES = TextTokenizer(train_bpe(["the answer is unusual. a girl, a good film: red or green?\n"] * 9, 320, 64))
TOKENIZERS = {"byte-level": BYTES, **WORD_MARKS}

pieces = st.sampled_from(["the", " un", "usual", " a", "go", "od", " ", "\n", ":", "5", " red", "gi", "rl", "."])
texts = st.lists(pieces, max_size=8).map("".join)
answers = texts.filter(lambda text: bool(text.strip()))
options = st.lists(answers, min_size=1, max_size=4, unique=True).map(tuple)
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


class Backbone:
    def __init__(self, tokenizer, context=500):
        self.tokenizer, self.context = tokenizer, context


def bound(head, tokenizer, context=500):
    head.backbone = Backbone(tokenizer, context)
    return head


def own_boundary(tokenizer, prompt, continuation):
    """The length of the common prefix of the stripped prompt and the whole text, with one id left to predict."""
    before, whole = tokenizer.encode(prompt.rstrip()), tokenizer.encode(prompt + continuation)
    common = next((n for n, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
    return min(common, len(whole) - 1)


@each_tokenizer
@given(prompt=texts, compared=options, context=st.sampled_from([120, 500]))
def test_all_options_have_the_earliest_boundary_and_the_same_prefix(tokenizer, prompt, compared, context):
    parts = (Part("a good film " * 20, "passage"), *as_prompt(prompt)) if context == 120 else as_prompt(prompt)
    rows = [row for one in compared for row in rows_of_request(tokenizer, LogLikelihood(parts, one, compared), context)]
    assert len({row.start for row in rows}) == 1
    assert len({tuple(row.ids[: row.start]) for row in rows}) == 1
    assert len({row.cut for row in rows}) == 1
    assert all(row.predicted and len(row.ids) <= context for row in rows)
    if context == 500:
        assert rows[0].start == 1 + min(own_boundary(tokenizer, prompt, one) for one in compared)


@each_tokenizer
@given(prompt=texts, compared=options)
def test_without_other_options_the_boundary_is_its_own(tokenizer, prompt, compared):
    for one in compared:
        (row,) = rows_of_request(tokenizer, LogLikelihood(as_prompt(prompt), one), 500)
        assert row.start == 1 + own_boundary(tokenizer, prompt, one)


@each_tokenizer
@given(prompt=texts, space=st.sampled_from([" ", "\n", " \n"]), compared=options)
def test_white_space_may_be_written_on_either_side(tokenizer, prompt, space, compared):
    left = [LogLikelihood(as_prompt(prompt + space), one, compared) for one in compared]
    moved = tuple(space + one for one in compared)
    right = [LogLikelihood(as_prompt(prompt), one, moved) for one in moved]
    for one, other in zip(left, right, strict=True):
        ((row,), (same,)) = (rows_of_request(tokenizer, request, 500) for request in (one, other))
        assert (row.ids, row.start, row.bytes) == (same.ids, same.start, same.bytes)


@each_tokenizer
@given(prompt=texts, compared=options)
def test_without_the_prompt_the_same_tokens_are_predicted(tokenizer, prompt, compared):
    for one in compared:
        request = LogLikelihood(as_prompt(prompt), one, compared)
        (row,) = rows_of_request(tokenizer, request, 500)
        alone = LogLikelihood(as_prompt(prompt), one, compared, without_prompt=True)
        (bare,) = rows_of_request(tokenizer, alone, 500)
        assert list(bare.ids) == [*tokenizer.starts_with, *row.ids[row.start :]]
        assert (bare.start, bare.bytes) == (1, row.bytes)


@each_tokenizer
@given(prompt=texts, compared=options, label=st.integers(0, 3), separator=st.sampled_from([" ", "", "\n"]))
def test_training_and_scoring_predict_the_same_tokens(tokenizer, prompt, compared, label, separator):
    label %= len(compared)
    example = Example(prompt, choices=compared, label=label, target=compared[label])
    choice = bound(Choice(ChoiceOptions(separator=separator)), tokenizer)
    (item,) = choice.items(example)
    asked = choice.requests(example)[label]
    assert [(row.ids, row.start) for row in item.rows] == [
        (row.ids, row.start) for row in rows_of_request(tokenizer, asked, 500)
    ]
    rescore = bound(Rescore(), tokenizer)
    (item,) = rescore.items(example)
    rows = [row for request in rescore.requests(example) for row in rows_of_request(tokenizer, request, 500)]
    assert (item.rows[0].ids, item.rows[0].start) in [(row.ids, row.start) for row in rows]
    model = bound(LanguageModel(), tokenizer)
    (item,) = model.items(example)
    assert list(item.rows) == rows_of_request(tokenizer, model.requests(example)[0], 500)


@each_tokenizer
@given(prompt=texts, answer=answers, separator=st.sampled_from([" ", "", "\n"]))
def test_generation_is_trained_after_the_ids_that_it_begins_with(tokenizer, prompt, answer, separator):
    head = bound(GenerateText(GenerateOptions(separator=separator)), tokenizer)
    example = Example(prompt, target=answer)
    ((row,),) = (item.rows for item in head.items(example))
    (asked,) = rows_of_request(tokenizer, head.requests(example)[0], 500)
    assert list(row.ids[: row.start]) == list(asked.ids)
    assert list(asked.ids) == [*tokenizer.starts_with, *(tokenizer.encode(prompt.rstrip()) if prompt.rstrip() else [])]
    assert row.ids[-1] == tokenizer.end
    # Decoded, the row in training is the text with the answer.
    gap = "" if not prompt or prompt[-1].isspace() or answer[0].isspace() else separator
    text = prompt + gap + answer
    unknown = tokenizer.inner.unk_token_id
    if unknown is None or unknown not in [*row.ids, *tokenizer.encode(text)]:
        read = tokenizer.decode(list(row.ids[:-1]))
        assert "".join(read.split(" ")) == "".join(text.split(" "))
        assert len(text.lstrip(" ")) - len(read.lstrip(" ")) in (0, 1)


many_bytes = st.text("中文国éüx ", max_size=6)


@given(
    kind=st.sampled_from(sorted(BYTE_TOKENIZERS)),
    prompt=many_bytes,
    compared=st.lists(many_bytes.filter(str.strip), min_size=1, max_size=3, unique=True).map(tuple),
)
@example(kind="byte-level", prompt="中", compared=("文", "国"))  # a token holds the end of one and the start of another
@example(kind="byte-level", prompt="xé", compared=("ü", "x"))
@example(kind="byte-fallback", prompt="中", compared=("文", "国"))
def test_a_boundary_within_a_character_counts_the_bytes_after_it(kind, prompt, compared):
    tokenizer = BYTE_TOKENIZERS[kind]
    rows = [rows_of_request(tokenizer, LogLikelihood(as_prompt(prompt), one, compared), 99)[0] for one in compared]
    assert len({tuple(row.ids[: row.start]) for row in rows}) == 1
    for row, one in zip(rows, compared, strict=True):
        predicted = bytes_of(kind, list(row.ids[row.start :]))
        whole = (prompt + one).encode()
        if len(predicted) > len(whole):  # the mark in front of the text
            predicted = predicted[1:]
        assert whole.endswith(predicted)
        assert row.bytes == len(predicted)


def test_options_that_share_a_word_with_the_prompt():
    """``un`` + ``usual`` is one token, so that every option predicts `` un``."""
    compared = ("usual", "red")
    requests = [LogLikelihood(as_prompt("the film is un"), one, compared) for one in compared]
    ((usual,), (red,)) = (rows_of_request(BYTES, request, 99) for request in requests)
    assert BYTES.decode(list(usual.ids[usual.start :])) == " unusual"
    assert BYTES.decode(list(red.ids[red.start :])) == " unred"
    assert (usual.bytes, red.bytes) == (8, 6)
    assert usual.crosses
    assert red.crosses


@pytest.mark.parametrize(
    ("parts", "space"),
    [
        (["a: "], " "),
        (["a:", "\n", " "], "\n "),
        (["a:"], ""),
        ([" "], " "),
        ([Part("film \n", "passage")], " \n"),
    ],
)
def test_trailing_space(parts, space):
    assert trailing_space(as_prompt(parts)) == space


@pytest.mark.parametrize(
    ("text", "space", "rest"),
    [
        (" red", " ", "red"),
        ("  red", " ", " red"),
        ("red", " ", "red"),
        ("", " ", ""),
        ("\n", "\n\n", ""),
        ("\n\nred", "\n", "\nred"),
        (" red", "", " red"),
    ],
)
def test_the_space_is_removed_once(text, space, rest):
    assert without_space(text, space) == rest


@pytest.fixture(scope="module", params=sorted(WORD_MARKS))
def marked(request, tmp_path_factory):
    """A tiny Llama with a tokenizer that marks words, as a folder and loaded."""
    tokenizer = WORD_MARKS[request.param].inner
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.5,
    )
    folder = tmp_path_factory.mktemp(request.param)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    return folder, backbone.lm


EXAMPLES = [
    ("the answer is a", ("girl", "red film", "zoo")),
    ("the colour:", ("red", "green", "5")),
    ("a film un", ("usual", "zoo")),
    ("", ("yes", "no")),
]


def requests_for(examples, space, **options):
    return [
        LogLikelihood(as_prompt(prompt + space), gap + one, tuple(gap + other for other in compared), **options)
        for prompt, compared in examples
        for gap in [" " if prompt and not space else ""]
        for one in compared
    ]


def test_the_scores_are_those_of_a_naive_computation(marked):
    folder, lm = marked
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    requests = requests_for(EXAMPLES, "") + [
        LogLikelihood(as_prompt("a film un"), one, ("usual", "zoo")) for one in ("usual", "zoo")
    ]
    plain, shared = (engine(lm, None, 512).answer(requests) for engine in (LocalEngine, SharedEngine))
    for request, reply, same in zip(requests, plain, shared, strict=True):
        (prompt,) = [part.text for part in request.prompt] or [""]
        start = min(own_boundary(lm.tokenizer, prompt, one) for one in request.beside)
        ids = lm.tokenizer.encode(prompt + request.continuation)
        with torch.no_grad():
            logprobs = model(torch.tensor([[1, *ids]])).logits[0].log_softmax(-1)
        naive = sum(logprobs[place, ids[place]].item() for place in range(start, len(ids)))
        assert reply.logprob == pytest.approx(naive, abs=1e-4)
        assert same.logprob == pytest.approx(naive, abs=1e-4)
        assert reply.tokens == same.tokens == len(ids) - start
        assert reply.bytes == same.bytes


@pytest.mark.parametrize("without_prompt", [False, True])
def test_a_prompt_that_ends_in_a_space_has_the_same_scores(marked, without_prompt):
    _, lm = marked
    for engine in (LocalEngine(lm, None, 512), SharedEngine(lm, None, 512)):
        bare = engine.answer(requests_for(EXAMPLES[:2], "", without_prompt=without_prompt))
        spaced = engine.answer(requests_for(EXAMPLES[:2], " ", without_prompt=without_prompt))
        assert [reply.tokens for reply in bare] == [reply.tokens for reply in spaced]
        assert [reply.bytes for reply in bare] == [reply.bytes for reply in spaced]
        assert [reply.logprob for reply in bare] == pytest.approx([reply.logprob for reply in spaced], abs=1e-4)


@settings(max_examples=20)
@given(prompt=texts.filter(str.strip), space=st.sampled_from([" ", "\n"]), beams=st.sampled_from([1, 2]))
def test_a_prompt_that_ends_in_a_space_gets_the_same_text(tiny_backbone_lm, prompt, space, beams):
    lm = tiny_backbone_lm
    for engine in (LocalEngine(lm, None, 512), SharedEngine(lm, None, 512)):
        bare, spaced = engine.answer(
            [Generate(as_prompt(prompt.rstrip() + one), 4, beams=beams) for one in ("", space)]
        )
        assert spaced.logprob == pytest.approx(bare.logprob, abs=1e-4)
        assert spaced.text == bare.text.removeprefix(space)
        (kept,) = engine.answer([Generate(as_prompt(prompt.rstrip() + space), 4, beams=beams, keep_space=True)])
        (row,) = rows_of_request(lm.tokenizer, Generate(as_prompt(prompt.rstrip() + space), 4, keep_space=True), 64)
        assert list(row.ids) == [*lm.tokenizer.starts_with, *lm.tokenizer.encode(prompt.rstrip() + space)]
        assert kept.tokens <= 4


@pytest.fixture(scope="module")
def tiny_backbone_lm(tiny_gpt2_folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    return backbone.lm
