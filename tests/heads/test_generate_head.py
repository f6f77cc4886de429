"""``generate``: what it trains on, what it asks, and that what it learned comes back."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.answer import Answer
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.scratch import train_bpe
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Example, Part
from gpttasks.heads.generate import GenerateOptions, GenerateText
from gpttasks.item import rows_of_items
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.requests import Cut, Generate, GenerateReply
from gpttasks.tokens.rows import rows_of_request
from gpttasks.tokens.tokenizer import TextTokenizer

BPE = TextTokenizer(train_bpe(["is the film good? the good film, a bad film\n"] * 9, 300, 64))


class Backbone:
    def __init__(self, context=1000, tokenizer=BPE):
        self.context, self.tokenizer = context, tokenizer


def items(example, backbone=None, **options):
    head = GenerateText(GenerateOptions(**options))
    head.bind(backbone or Backbone(), example)
    return list(head.items(example))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text("the good film\n", max_size=20)


@given(prompt=texts, target=texts.filter(lambda text: text and not text[0].isspace()))
def test_an_item_is_prompt_answer_and_end_and_the_answer_is_learned(prompt, target):
    (item,) = items(Example(prompt, target=target))
    (sequence,) = item.rows
    space = "" if not prompt or prompt[-1].isspace() else " "
    alone = [*BPE.starts_with, *BPE.encode(prompt.rstrip())]
    assert sequence.ids[: sequence.start] == alone
    assert sequence.ids[-1] == BPE.end
    assert BPE.decode(sequence.ids) == prompt + space + target
    whole = [*BPE.starts_with, *BPE.encode(prompt + space + target)]
    if whole[: len(alone)] == alone:  # no token crosses the boundary
        assert sequence.ids == [*whole, BPE.end]
    assert item.counts == {"generate": len(sequence.ids) - sequence.start}
    assert item.cut == Cut()


@pytest.mark.parametrize(
    ("prompt", "separator", "learned"),
    [("Is it?", " ", " good"), ("Is it? ", " ", "good"), ("Is it?", "\n", "\ngood"), ("Is it?\n", " ", "good")],
)
def test_what_stands_between_prompt_and_answer(prompt, separator, learned):
    (item,) = items(Example(prompt, target="good"), separator=separator)
    (sequence,) = item.rows
    assert BPE.decode(sequence.ids) == prompt + learned
    # White space at the prompt's end belongs to the answer.
    assert BPE.decode(sequence.ids[sequence.start : -1]) == (prompt + learned).removeprefix("Is it?")


def test_the_right_choice_and_the_first_reference_are_targets_too():
    for example in (
        Example("Is it?", choices=("bad", "good"), label=1),
        Example("Is it?", references=("good", "fine")),
        Example("Is it?", target="good", references=("fine",)),
    ):
        (item,) = items(example)
        assert BPE.decode(item.rows[0].ids) == "Is it? good"


def test_references_make_one_item_each():
    example = Example("Is it?", target="so so", references=("good", "a film", "good", ""))
    found = items(example, train_on="references")
    assert [BPE.decode(item.rows[0].ids) for item in found] == ["Is it? good", "Is it? a film"]
    assert all(len(item.rows) == 1 for item in found)
    assert GenerateText().one_item
    assert not GenerateText(GenerateOptions(train_on="references")).one_item


@pytest.mark.parametrize("prompt", ["Is it?", "Is it? ", ""])
def test_an_empty_answer_is_its_end_alone(prompt):
    (item,) = items(Example(prompt, target=""))
    (sequence,) = item.rows
    assert sequence.ids == [*BPE.starts_with, *BPE.encode(prompt.rstrip()), BPE.end]
    assert sequence.start == len(sequence.ids) - 1
    assert item.counts == {"generate": 1}


class WithoutEnd:
    starts_with, fallback_start, end = BPE.starts_with, BPE.fallback_start, None

    def encode(self, text, special=()):
        return BPE.encode(text)


def test_a_tokenizer_without_an_end():
    backbone = Backbone(tokenizer=WithoutEnd())
    (item,) = items(Example("Is it?", target="good"), backbone)
    assert item.rows[0].ids == [*BPE.starts_with, *BPE.encode("Is it? good")]
    with pytest.raises(DataError, match="example e4 has an empty target, and the tokenizer no end token"):
        items(Example("Is it?", target="", id="e4"), backbone)


@pytest.mark.parametrize("train_on", ["target", "references"])
def test_nothing_to_train_on(train_on):
    with pytest.raises(DataError, match="example e3 has no text to train on"):
        items(Example("Is it?", id="e3"), train_on=train_on)


@pytest.mark.parametrize("max_tokens", [1, 12, 20])
def test_a_passage_is_cut_as_it_is_for_generation(max_tokens):
    example = Example([Part("the good film " * 20, "passage"), "Is it?"], target="a bad film")
    (item,) = items(example, Backbone(context=48), max_tokens=max_tokens)
    (sequence,) = item.rows
    answer = [*BPE.encode(" a bad film"), BPE.end]
    prompt, predicted = sequence.ids[: sequence.start], sequence.ids[sequence.start :]
    assert predicted == answer
    assert len(prompt) == 48 - max(max_tokens, len(answer))
    assert item.cut.tokens == 1 + len(BPE.encode("the good film " * 20 + "Is it?")) - len(prompt)
    if max_tokens >= len(answer):
        (asked,) = rows_of_request(BPE, GenerateText(GenerateOptions(max_tokens=max_tokens)).requests(example)[0], 48)
        assert asked.ids == prompt


def test_an_answer_without_room_for_a_prompt():
    with pytest.raises(
        DataError, match="the answer has 22 tokens, which leaves no room for a prompt in a context of 16"
    ):
        items(Example("Is it?", target="x" * 20), Backbone(context=16), max_tokens=8)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stop": ["\n", ""]}, "stop: got an empty text among"),
        ({"top_k": 5}, "nothing is drawn at temperature 0; set a temperature"),
        ({"top_p": 0.5}, "nothing is drawn at temperature 0; set a temperature"),
        ({"beams": 4, "temperature": 0.7}, "beams: got 4 with temperature 0.7; beams draw nothing: write"),
        ({"length_penalty": 0.5}, "length_penalty: is read with several beams only"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_k": 0, "temperature": 1}, "top_k"),
        ({"top_p": 0, "temperature": 1}, "top_p"),
        ({"top_p": 1.5, "temperature": 1}, "top_p"),
        ({"beams": 0}, "beams"),
        ({"train_on": "all"}, "train_on"),
    ],
)
def test_options_that_do_not_fit(options, problem):
    with pytest.raises(ValidationError, match=problem):
        GenerateOptions(**options)


def test_requests():
    example = Example("Is it?", id="e1")
    assert GenerateText().requests(example) == [Generate(example.prompt, 64)]
    beams = {"max_tokens": 9, "stop": ["\n", "."], "beams": 3, "length_penalty": 0.5}
    expected = Generate(example.prompt, 9, ("\n", "."), beams=3, length_penalty=0.5)
    assert GenerateText(GenerateOptions(**beams)).requests(example) == [expected]


def test_each_example_draws_by_its_own_seed():
    def asked(id, seed):
        head = GenerateText(GenerateOptions(temperature=0.8, top_k=20, top_p=0.9, seed=seed))
        (request,) = head.requests(Example("Is it?", id=id))
        assert (request.temperature, request.top_k, request.top_p) == (0.8, 20, 0.9)
        return request.seed

    seeds = [asked(id, seed) for id in ("e1", "e2") for seed in (1, 2)]
    assert len(set(seeds)) == 4
    assert seeds == [asked(id, seed) for id in ("e1", "e2") for seed in (1, 2)]


def test_answers_are_stripped():
    reply = GenerateReply(" \n a good film\t ", 7, "stop", -2.5, near_tie=True)
    answer = GenerateText().answer(Example("Is it?"), [reply])
    detail = {"finish": "stop", "tokens": 7, "logprob": -2.5, "near_tie": True}
    assert answer == Answer("a good film", "a good film", detail=detail)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_the_loss_equals_one_by_hand(tiny_folder, family):
    folder = tiny_folder(family)
    pairs = [("The film was", "a quiet wonder"), ("Sentiment:", "positive"), ("", "bad")]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    expected = 0.0
    for prompt, answer in pairs:
        start = len(tokenizer(prompt)["input_ids"])
        text = f"{prompt} {answer}" if prompt else answer
        ids = torch.tensor([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])
        with torch.no_grad():
            logprobs = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        expected -= sum(float(logprobs[place - 1, ids[place]]) for place in range(start, len(ids)))
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    head = GenerateText()
    examples = [Example(prompt, target=answer) for prompt, answer in pairs]
    head.bind(backbone, examples[0])
    found = [item for example in examples for item in head.items(example)]
    losses = head.loss(backbone.forward([sequence.ids for sequence in rows_of_items(found)]), found)
    assert losses["generate"].item() == pytest.approx(expected, abs=1e-3)


PAIRS = [("Who reads", "the critic, every day"), ("What fell", "rain – c'est la vie"), ("How much", "17 dollars")]


@pytest.fixture
def recipe(tmp_path, tiny_gpt2_folder):
    (tmp_path / "data").mkdir()
    rows = "".join(json.dumps({"q": question, "a": answer}) + "\n" for question, answer in PAIRS)
    for split in ("train", "test"):
        (tmp_path / "data" / f"{split}.jsonl").write_text(rows)
    file = tmp_path / "tiny.yaml"
    file.write_text(
        f"""
backbone: {tiny_gpt2_folder}
task: {{use: generation, data: {{path: data, overlap: allow}}, prompt: "{{{{ q }}}}:", target: "{{{{ a }}}}"}}
head: {{use: generate, max_tokens: 24}}
adapt: full
train: {{epochs: 40, learning_rate: 5.0e-3, tokens_per_step: 64}}
score: {{metrics: [{{use: exact_match, normalisation: none}}], resamples: 50}}
runtime: {{precision: fp32, device: cpu}}
"""
    )
    return file


def test_what_was_learned_comes_back(recipe):
    done = run(recipe, "out")
    assert done.scores["exact_match"].value == 1.0
    assert [row.answer for row in samples(done.folder)] == [answer for _, answer in PAIRS]
    predictor = Predictor(done.folder, load_plugins())
    assert predictor.columns == ("q",)
    predicted = predictor.predict([Row({"q": question}) for question, _ in PAIRS])
    assert [one.text for one in predicted] == [answer for _, answer in PAIRS]
    again = run(recipe, "again", f"backbone={done.folder}", "adapt=none", "train=null", "head.beams=3")
    assert again.scores["exact_match"].value == 1.0
