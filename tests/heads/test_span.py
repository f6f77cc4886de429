"""``span``: windows, gold tokens and best spans against everything tried by hand."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.mock import Mock
from gpttasks.backbones.scratch import train_bpe
from gpttasks.data.rows import Row
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import BackboneError, DataError
from gpttasks.example import Example, Part, prompt_text
from gpttasks.heads.span import Span, SpanOptions
from gpttasks.item import rows_of_items
from gpttasks.metrics.text import TokenF1
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.requests import Readout, ReadoutReply
from gpttasks.tokens.rows import rows_of_request
from gpttasks.tokens.tokenizer import TextTokenizer

BPE = TextTokenizer(train_bpe(["Who? the good film, a bad film in 1984; naïve שלום\nAnswer:"] * 9, 320, 64))
BEFORE, AFTER = "Who?\nPassage: ", "\nAnswer:"
AROUND = 1 + len(BPE.encode(BEFORE + AFTER))
SLACK = 8


def passage_row(tokenizer, prompt, context):
    (row,) = rows_of_request(tokenizer, Readout(prompt, "span", "passage"), context)
    return row


class Backbone:
    def __init__(self, context):
        self.context, self.tokenizer = context, BPE


def head_for(context, **options):
    head = Span(SpanOptions(**options))
    head.backbone = Backbone(context)
    return head


def asked(passage, answer=None, start=None, **fields):
    references = () if answer is None else (answer,)
    return Example([BEFORE, Part(passage, "passage"), AFTER], references=references, answer_start=start, **fields)


WORDS = [
    "the",
    "good",
    "film",
    "1984",
    "naïve",
    "漢語",
    "😀",
    "👩🏽\u200d🚀",
    "שלום",
    "مرحبا",
    "e\u0301",
    "xyzzy",
    "a,b",
]
WORD = re.compile(r"(?:[^\W\u4e00-\u9fff]|[\u0300-\u036f]|(?<=\d)[.,](?=\d))+")
"""The words and numbers of a passage, by a rule of the tests."""
sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=50)
passages = st.text(st.characters(exclude_categories=["Cs"]), max_size=120) | sentences.map(" ".join)


def held(passage, start, end):
    """Which of the passage's tokens stand in its characters from start to end."""
    return [place for place, (first, last) in enumerate(BPE.offsets(passage)) if first >= start and last <= end]


@given(passage=passages, context=st.integers(30, 120), overlap=st.integers(0, 20))
def test_windows_cover_the_passage_overlap_and_fit(passage, context, overlap):
    head, example = head_for(context, overlap=overlap), asked(passage, id="e1")
    tokens, room = len(BPE.encode(passage)), context - AROUND - SLACK
    if tokens > room and room <= overlap:
        with pytest.raises(DataError, match=rf"example e1: the question leaves {max(0, room)} tokens of {context} "):
            head.windows(example)
        return
    windows = head.windows(example)
    assert (len(windows) == 1) == (tokens <= room)
    covered = 0
    for window in windows:
        assert prompt_text(window.prompt) == BEFORE + window.text + AFTER
        assert passage[window.start : window.start + len(window.text)] == window.text
        assert window.start <= covered, "no character is left out"
        covered = window.start + len(window.text)
        assert len(passage_row(BPE, window.prompt, context).ids) <= context
    assert covered == len(passage)
    for first, second in itertools.pairwise(windows):
        shared = held(passage, second.start, first.start + len(first.text))
        # A character of several tokens that stands across the border is in both windows whole.
        assert overlap <= len(shared) <= overlap + 6
    assert head.requests(example) == [Readout(window.prompt, "span", "passage") for window in windows]


@given(words=sentences, context=st.integers(50, 110), data=st.data())
def test_gold_tokens_are_the_answer_s_characters(words, context, data):
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 9, len(words) - 1)))
    check_gold(words, first, last, context)


@pytest.mark.parametrize("length", [1, 3, 8])
def test_gold_tokens_wherever_the_answer_stands(length):
    words = [word for word in WORDS for _ in range(4)]
    found = {check_gold(words, first, first + length - 1, 60) for first in range(len(words) - length + 1)}
    assert {0, 1} <= found, "both kinds are tried"


def check_gold(words, first, last, context):
    """In how many windows the answer, made of some of the passage's words, stands whole."""
    passage, answer = " ".join(words), " ".join(words[first : last + 1])
    start = len(" ".join([*words[:first], ""]))
    head, example = head_for(context, overlap=6, max_tokens=1000), asked(passage, answer, start)
    windows, items = head.windows(example), list(head.items(example))
    assert len(windows) == len(items)
    found = 0
    for window, item in zip(windows, items, strict=True):
        (sequence,) = item.rows
        text = prompt_text(window.prompt)
        assert sequence.ids == [*BPE.starts_with, *BPE.encode(text)]
        assert sequence.start == len(sequence.ids), "no token is predicted"
        assert item.rows[0].at[-1] == len(sequence.ids) - 1
        assert item.counts == {"span": 1}
        inside = window.start <= start and start + len(answer) <= window.start + len(window.text)
        found += inside
        if not inside:
            assert item.gold == (len(item.rows[0].at) - 1,) * 2
            continue
        offsets = [(-1, -1), *BPE.offsets(text)]  # the row begins with a token of no text
        marked = [offsets[place] for place in item.rows[0].at[item.gold[0] : item.gold[1] + 1]]
        assert text[marked[0][0] : marked[-1][1]].strip() == answer
        assert marked[0][0] <= len(BEFORE) + start - window.start < marked[0][1]
        # And back: where these tokens are the best, they are the answer.
        replies = [perfect(window, item) for window, item in zip(windows, items, strict=True)]
        given = head.answer(example, replies)
        assert (given.value, given.text) == ([start, start + len(answer)], answer)
        assert given.detail == {"margin": 20.0, "windows": len(windows)}
    if len(BPE.encode(" " + answer)) <= 7:
        assert found, "what is no longer than the overlap and one token stands whole in some window"
    return found


def perfect(window, item):
    """The reply of a model that is sure of the gold tokens."""
    values = np.zeros((len(item.rows[0].at), 2))
    values[item.gold[0], 0] = values[item.gold[1], 1] = 10
    return reply_to(window, values)


def reply_to(window, values):
    places = passage_row(BPE, window.prompt, 1000).places
    assert len(values) == len(places) + 1
    return ReadoutReply(tuple(np.ravel(values).tolist()), places=places)


def test_answers_that_begin_within_a_token_or_a_character():
    passage = "The goodness 😀😀."
    for answer in ("ness", "oodn", "😀.", "😀"):
        start = passage.index(answer)
        (item,) = head_for(200, whole_words=False).items(asked(passage, answer, start))
        row = passage_row(BPE, asked(passage).prompt, 200)
        places = [row.places[place] for place in range(item.gold[0], item.gold[1] + 1)]
        assert places[0][0] <= start < places[0][1]
        assert places[-1][0] < start + len(answer) <= places[-1][1]
        assert places[1:-1] == [place for place in places[1:-1] if place[1] > start and place[0] < start + len(answer)]


@pytest.mark.parametrize(
    ("answer", "whole"), [("odn", "goodness"), ("ness cost", "goodness cost"), ("1,0", "1,000.5"), ("5", "1,000.5")]
)
def test_a_part_of_a_word_becomes_the_whole_word_in_training_and_in_the_answer(answer, whole):
    passage = "The goodness cost 1,000.5 dollars."
    head, example = head_for(200), asked(passage, answer)
    (item,), (as_whole,) = head.items(example), head.items(asked(passage, whole))
    assert item.gold == as_whole.gold
    (window,) = head.windows(example)
    assert head.answer(example, [perfect(window, item)]).text == whole
    # A model that is sure of tokens within the words answers with whole words all the same.
    split = {place for word in WORD.finditer(passage) for place in range(word.start() + 1, word.end())}
    places = passage_row(BPE, window.prompt, 200).places
    for at in range(len(places)):
        values = np.zeros((len(places) + 1, 2))
        values[at] = 10
        start, end = head.answer(example, [reply_to(window, values)]).value
        assert {start, end}.isdisjoint(split)


def test_without_a_place_the_first_occurrence_counts():
    head = head_for(200)
    (item,) = head.items(asked("bad film, good film", "film"))
    (second,) = head.items(asked("bad film, good film", "film", 15))
    assert item.gold[0] < second.gold[0]
    for none in (asked("bad film"), asked("bad film", "")):
        (item,) = head.items(none)
        assert item.gold == (len(item.rows[0].at) - 1,) * 2


@pytest.mark.parametrize(("answer", "start"), [("film", 3), ("great", None), ("film", 900)])
def test_an_answer_that_is_not_there(answer, start):
    with pytest.raises(DataError, match=rf"example e7: the answer '{answer}' is not in the passage"):
        list(head_for(200).items(asked("bad film", answer, start, id="e7")))


@pytest.mark.parametrize("passages", [0, 2])
def test_one_passage_is_pointed_into(passages):
    example = Example([BEFORE, *[Part("a film", "passage")] * passages], id="e8", references=("film",))
    for ask in (head_for(200).requests, lambda one: list(head_for(200).items(one))):
        with pytest.raises(DataError, match=rf"example e8: the prompt has {passages} passages, and head 'span' points"):
            ask(example)


def test_a_scripted_backbone_cannot_be_pointed_with():
    with pytest.raises(BackboneError, match="head 'span' reads hidden states, and 'mock' gives none"):
        Span().bind(Mock(), asked("a film"))


def everything(example, head, replies, longest, whole_words=True):
    """All spans of all windows with some text in them, or those that split no word: (margin, start, end)."""
    words = [match.span() for match in WORD.finditer(example.prompt[1].text)] if whole_words else []
    split = {place for start, end in words for place in range(start + 1, end)}
    for window, reply in zip(head.windows(example), replies, strict=True):
        values = np.reshape(reply.values, (-1, 2))
        for first, last in itertools.combinations_with_replacement(range(len(reply.places)), 2):
            start, end = reply.places[first][0], reply.places[last][1]
            text = window.text[start:end]
            start += len(text) - len(text.lstrip())
            span = window.start + start, window.start + start + len(text.strip())
            if last - first < longest and text.strip() and not split & set(span):
                yield values[first, 0] + values[last, 1] - values[-1].sum(), *span


blanks = st.lists(st.sampled_from(["film", " ", "\n", "\n\n", "\t ", "שלום", "😀", " good"]), max_size=40)


@given(
    passage=blanks.map("".join) | sentences.map(" ".join), seed=st.integers(0, 2**32 - 1), longest=st.integers(1, 12)
)
def test_the_best_span_is_the_best_of_all(passage, seed, longest):
    head, example = head_for(60, overlap=5, max_tokens=longest), asked(passage)
    draw = np.random.default_rng(seed)
    replies = [reply_to(window, draw.normal(size=shape(window))) for window in head.windows(example)]
    answer = head.answer(example, replies)
    best = max(everything(example, head, replies, longest), default=None)
    if best is None:  # no whole word has so few tokens: the best of all parts of words
        best = max(everything(example, head, replies, longest, whole_words=False), default=None)
    if best is None:
        assert (answer.value, answer.text, answer.detail["margin"]) == (None, "", -1e30)
        return
    assert answer.value == list(best[1:])
    assert answer.text == passage[best[1] : best[2]] == answer.text.strip()
    assert answer.detail == {"margin": pytest.approx(best[0]), "windows": len(replies)}
    json.dumps(answer.value)


def shape(window):
    return len(passage_row(BPE, window.prompt, 1000).places) + 1, 2


def some_answers(head, seed, unanswerable):
    """Examples and replies of a model that is right more often than not, the surer the better."""
    draw = np.random.default_rng(seed)
    for number in range(12):
        answer = "" if number in unanswerable else ("good film", "film", "1984")[number % 3]
        example = asked("the good film of 1984 is naïve", answer, id=f"e{number}")
        (window,) = head.windows(example)
        (item,) = head.items(example)
        values = draw.normal(size=shape(window))
        values[item.gold[0], 0] += 1.5
        values[item.gold[1], 1] += 1.5
        yield example, [reply_to(window, np.round(4 * values) / 4)]  # exact, and some are equal


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), unanswerable=st.sets(st.integers(0, 11)))
def test_the_threshold_is_the_best_of_all(seed, unanswerable):
    head = head_for(200, no_answer=True)
    assert head.tunes
    examples, replies = zip(*some_answers(head, seed, unanswerable), strict=True)
    f1 = TokenF1(TokenF1.Options(normalisation="squad"))

    def mean_f1(threshold):
        head.tuned = {"no_answer_threshold": threshold}
        answers = [head.answer(example, given) for example, given in zip(examples, replies, strict=True)]
        for answer in answers:
            assert (answer.value is None) == (answer.text == "") == (answer.detail["margin"] < threshold)
        return sum(f1.sample(example, answer)[0] for example, answer in zip(examples, answers, strict=True))

    margins = sorted(head.answer(*pair).detail["margin"] for pair in zip(examples, replies, strict=True))
    tuned = head.tune(examples, replies)
    assert list(tuned) == ["no_answer_threshold"]
    between = [margins[0] - 1, *((low + high) / 2 for low, high in itertools.pairwise(margins)), margins[-1] + 1]
    assert mean_f1(tuned["no_answer_threshold"]) == pytest.approx(max(mean_f1(threshold) for threshold in between))


def test_without_no_answer_there_always_is_one():
    head = head_for(200)
    assert not head.tunes
    head.tuned = {"no_answer_threshold": 1e9}
    for example, replies in some_answers(head, 1, {0, 1, 2}):
        assert head.answer(example, replies).text


LONG = (
    "The good film of 1984 was a quiet wonder, and everyone in the theatre stayed until the lights came on again. " * 2
)
EXAMPLES = [
    asked("The price was 3 dollars in 1984.", "3 dollars", id="short"),
    asked(LONG, "everyone", LONG.rindex("everyone"), id="long"),
    asked("Nothing happens.", "", id="none"),
]


def bind(folder, **options):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder), context=80))
    backbone.load(LoadSettings())
    head = Span(SpanOptions(overlap=16, **options))
    torch.manual_seed(0)
    head.bind(backbone, EXAMPLES[0])
    torch.nn.init.normal_(head.modules()["span"].weight)
    torch.nn.init.normal_(head.modules()["span"].bias)
    return head


@pytest.fixture(params=["gpt2", "openai-gpt", "bloom", "llama", "gemma2"])
def folder(request, tiny_folder):
    return tiny_folder(request.param)


def test_losses_and_replies_equal_those_by_hand(folder):
    head = bind(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    layer, expected, outputs = head.modules()["span"], [], []
    for example in EXAMPLES:
        for window in head.windows(example):
            text = prompt_text(window.prompt)
            encoded = tokenizer(text, return_offsets_mapping=True)
            with torch.no_grad():
                states = model(torch.tensor([encoded["input_ids"]]), output_hidden_states=True).hidden_states[-1][0]
            begin, end = text.index(BEFORE) + len(BEFORE), len(text) - len(AFTER)
            offsets = encoded["offset_mapping"]
            inside = [place for place, (first, last) in enumerate(offsets) if first < end and last > begin]
            logits = states[[*inside, len(offsets) - 1]] @ layer.weight.T + layer.bias
            outputs.append(logits)
            start = example.answer_start
            if start is None:
                start = example.prompt[1].text.find(example.references[0])
            first, last = start - window.start + begin, start - window.start + begin + len(example.references[0])
            gold = [place for place, at in enumerate(inside) if offsets[at][0] < last and offsets[at][1] > first]
            if not example.references[0] or first < begin or last > end:
                gold = [len(inside)]
            logprobs = logits.log_softmax(0)
            expected.append(-(logprobs[gold[0], 0] + logprobs[gold[-1], 1]) / 2)
    items = [item for example in EXAMPLES for item in head.items(example)]
    assert len(items) == len(expected) > len(EXAMPLES)
    losses = head.loss(head.backbone.forward([sequence.ids for sequence in rows_of_items(items)]), items)
    torch.testing.assert_close(losses["span"], torch.stack(expected).sum(), atol=1e-3, rtol=1e-4)
    engine = LocalEngine(head.backbone, head.modules(), 300)
    replies = engine.answer([request for example in EXAMPLES for request in head.requests(example)])
    for reply, logits in zip(replies, outputs, strict=True):
        assert reply.values == pytest.approx(logits.reshape(-1).tolist(), abs=1e-3)


def test_dropout_is_for_training_only(tiny_gpt2_folder):
    def loss(training, **options):
        head = bind(tiny_gpt2_folder, **options)
        head.modules().train(training)
        items = list(head.items(EXAMPLES[0]))
        return head.loss(head.backbone.forward([items[0].rows[0].ids]), items)["span"].item()

    assert loss(True) == loss(False) == loss(False, dropout=0.5) != loss(True, dropout=0.5)


def facts():
    """Rows as in SQuAD; one passage is longer than the context, and its answers stand at both ends."""
    people = [("Ann", "Oslo", "rain"), ("Bob", "Rome", "good films"), ("Eve", "Paris – là-bas", "the theatre")]
    for name, city, liked in people:
        filler = "Nothing happens for two hours, and then nothing happens once more. " * (5 if name == "Eve" else 0)
        context = f"{name} lives in {city}. {filler}She likes {liked}."
        for question, answer in ((f"Where does {name} live?", city), (f"What does {name} like?", liked)):
            yield question, context, answer


@pytest.fixture
def recipe(tmp_path, tiny_gpt2_folder):
    (tmp_path / "data").mkdir()
    rows = [
        {"id": f"q{number}", "question": question, "context": context}
        | {"answers": {"text": [answer], "answer_start": [context.index(answer)]}}
        for number, (question, context, answer) in enumerate(facts())
    ]
    without = [
        {"id": f"n{number}", "question": question, "context": context, "answers": {"text": [], "answer_start": []}}
        for number, (question, context) in enumerate([("Who reads?", "Ann sleeps."), ("Who reads?", "It rains.")])
    ]
    for split, lines in (
        ("train", rows),
        ("test", rows),
        ("train2", rows + without),
        ("valid2", rows + without),
        ("test2", rows + without),
    ):
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = tmp_path / "tiny.yaml"
    file.write_text(
        f"""
backbone: {tiny_gpt2_folder}
task: {{use: question-answering, data: {{path: data, splits: {{train: train, test: test}}, overlap: allow}}}}
head: {{use: span, overlap: 16}}
adapt: full
train: {{epochs: 50, learning_rate: 3.0e-3, tokens_per_step: 512}}
score: {{metrics: [exact_match, token_f1], resamples: 50}}
runtime: {{precision: fp32, device: cpu}}
"""
    )
    return file


def test_a_run_points_at_what_it_learned_and_so_does_its_folder(recipe, tiny_gpt2_folder):
    done = run(recipe, "out")
    assert done.scores["exact_match"].value == done.scores["token_f1"].value == 1.0
    rows = samples(done.folder)
    assert [row.answer for row in rows] == [answer for _, _, answer in facts()]
    for row, (_, context, answer) in zip(rows, facts(), strict=True):
        start, end = row.answer_value
        assert context[start:end] == answer
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    assert max(len(tokenizer.tokenize(row.input)) for row in rows) > 128, "one passage needs windows"
    given = [Row({"question": question, "context": context}) for question, context, _ in facts()]
    predicted = list(Predictor(done.folder, load_plugins()).predict(given))
    assert [one.text for one in predicted] == [row.answer for row in rows]
    again = run(recipe, "again", f"backbone={done.folder}", "adapt=none", "train=null")
    assert [row.answer_value for row in samples(again.folder)] == [row.answer_value for row in rows]


def test_a_run_learns_when_there_is_no_answer(recipe):
    splits = "task.data.splits={train: train2, validation: valid2, test: test2}"
    done = run(recipe, "out", splits, "task.unanswerable=true", "head.no_answer=true")
    rows = samples(done.folder)
    assert [row.answer for row in rows] == [*(answer for _, _, answer in facts()), "", ""]
    assert [row.answer_value for row in rows[-2:]] == [None, None]
    assert list(json.loads((done.folder / "head" / "tuned.json").read_text())) == ["no_answer_threshold"]
    asked = [*((question, context) for question, context, _ in facts()), ("Who reads?", "Ann sleeps.")]
    given = [Row({"question": question, "context": context}) for question, context in asked]
    predicted = Predictor(done.folder, load_plugins()).predict(given)
    assert [one.text for one in predicted] == [row.answer for row in rows[:-1]]
