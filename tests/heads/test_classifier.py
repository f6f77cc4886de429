"""``classifier``: a linear layer on the last real token, by hand."""

import csv
import math

import pytest
import torch
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.mock import Mock
from gpttasks.data.rows import Row
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import BackboneError, DataError
from gpttasks.example import Example, Part
from gpttasks.heads.classifier import Classifier, ClassifierOptions
from gpttasks.item import rows_of_items
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins
from gpttasks.requests import Readout, ReadoutReply

CHOICES = ("negative", "neutral", "positive")
PROMPTS = ["The film was a quiet wonder", "Bad", "Good acting cannot save a bad script, but a good script has."]
EXAMPLES = [Example(prompt, choices=CHOICES, label=label) for prompt, label in zip(PROMPTS, (2, 0, 1), strict=True)]


def bind(folder, **options):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    head = Classifier(ClassifierOptions(**options))
    torch.manual_seed(0)
    head.bind(backbone, EXAMPLES[0])
    torch.nn.init.normal_(head.modules()["classifier"].weight)
    torch.nn.init.normal_(head.modules()["classifier"].bias)
    return head


@pytest.fixture(params=["gpt2", "bloom", "llama", "gemma2"])
def folder(request, tiny_folder):
    return tiny_folder(request.param)


def by_hand(folder, head):
    """[3, 3]: the layer on the last state of each prompt, each alone; and [3]: the likelihood of each prompt."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id is None, "padding has to work on models without a pad token"
    layer = head.modules()["classifier"]
    logits, nlls = [], []
    with torch.no_grad():
        for prompt in PROMPTS:
            ids = torch.tensor([tokenizer(prompt)["input_ids"]])
            logits.append(model.base_model(input_ids=ids).last_hidden_state[0, -1] @ layer.weight.T + layer.bias)
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            nlls.append(-logprobs.gather(1, ids[0, 1:, None]).sum())
    return torch.stack(logits), torch.stack(nlls)


def test_answers_equal_a_linear_layer_by_hand(folder):
    head = bind(folder)
    logits, _ = by_hand(folder, head)
    replies = LocalEngine(head.backbone, head.modules(), 10_000).answer([head.requests(one)[0] for one in EXAMPLES])
    for example, reply, expected in zip(EXAMPLES, replies, logits, strict=True):
        answer = head.answer(example, [reply])
        assert answer.detail["logits"] == pytest.approx(expected.tolist(), abs=1e-4)
        assert answer.scores == pytest.approx(expected.softmax(0).tolist(), abs=1e-4)
        assert answer.value == int(expected.argmax())
        assert answer.text == CHOICES[answer.value]


@pytest.mark.parametrize("lm_weight", [0.0, 0.5])
def test_losses_equal_those_by_hand(folder, lm_weight):
    head = bind(folder, lm_weight=lm_weight, dropout=0.0)
    logits, nlls = by_hand(folder, head)
    items = [item for example in EXAMPLES for item in head.items(example)]
    losses = head.loss(head.backbone.forward([item.rows[0].ids for item in items]), items)
    expected = -logits.log_softmax(-1)[[0, 1, 2], [2, 0, 1]].sum()
    torch.testing.assert_close(losses["classifier"], expected, atol=1e-3, rtol=1e-4)
    assert [item.counts["classifier"] for item in items] == [1, 1, 1]
    if lm_weight:
        torch.testing.assert_close(losses["lm"], 0.5 * nlls.sum(), atol=1e-3, rtol=1e-4)
        assert [item.counts["lm"] for item in items] == [item.tokens - 1 for item in items]
    else:
        assert set(losses) == {"classifier"} == set(items[0].counts)


def test_a_row_of_one_token_has_no_language_model_loss(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, lm_weight=0.5)
    (item,) = head.items(Example("", choices=CHOICES, label=1))
    assert item.counts == {"classifier": 1}
    losses = head.loss(head.backbone.forward([item.rows[0].ids]), [item])
    assert set(losses) == {"classifier"}


def test_dropout_only_in_training(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, dropout=0.5)
    items = [item for example in EXAMPLES for item in head.items(example)]
    outputs = head.backbone.forward([item.rows[0].ids for item in items])
    head.modules().eval()
    assert head.loss(outputs, items)["classifier"].item() == head.loss(outputs, items)["classifier"].item()
    head.modules().train()
    assert head.loss(outputs, items)["classifier"].item() != head.loss(outputs, items)["classifier"].item()


def test_request_and_answer(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    assert head.requests(EXAMPLES[0]) == [Readout(EXAMPLES[0].prompt, "classifier")]
    answer = head.answer(EXAMPLES[0], [ReadoutReply((0.0, 1.0, 1.0))])
    assert answer.value in (1, 2)
    assert (answer.text, answer.detail["near_tie"]) == (EXAMPLES[0].choices[answer.value], True)
    assert answer.detail["tie"] is True
    assert answer.value == head.best_choice(EXAMPLES[0], [0.0, 1.0, 1.0])[0]
    assert answer.scores == pytest.approx([1 / (1 + 2 * math.e), *[math.e / (1 + 2 * math.e)] * 2])


def test_examples_that_do_not_fit(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    with pytest.raises(DataError, match=r"example e7 has the choices \['a', 'b'\], the first one had"):
        list(head.items(Example("A", choices=("a", "b"), label=0, id="e7")))
    with pytest.raises(DataError, match=r"example e7 has the choices \['a', 'b'\], .*one output per choice"):
        head.requests(Example("A", choices=("a", "b"), id="e7"))
    with pytest.raises(DataError, match="example e8 has no label"):
        list(head.items(Example("A", choices=CHOICES, id="e8")))


def test_what_is_asked_can_be_shown_before_there_is_a_model():
    assert Classifier().requests(EXAMPLES[0]) == [Readout(EXAMPLES[0].prompt, "classifier")]


def test_needs_a_local_model():
    with pytest.raises(BackboneError, match="head 'classifier' reads hidden states, and 'mock' gives none"):
        Classifier().bind(Mock(), EXAMPLES[0])


PAIRS = [
    Example([Part(left, "passage"), " $ ", Part(right, "passage"), "\nSame?"], choices=CHOICES, label=label)
    for left, right, label in [("A film for $ 5", "Bad", 0), (PROMPTS[0], PROMPTS[2], 2), ("Good", PROMPTS[1], 1)]
]


def both_by_hand(folder, head, example):
    """The layer on the last state of either order, added; the likelihood of both; and their tokens to predict."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    layer = head.modules()["classifier"]
    left, right = example.prompt[0].text, example.prompt[2].text
    logits, nll, tokens = torch.zeros(3), torch.zeros(()), 0
    with torch.no_grad():
        for text in (f"{left} $ {right}\nSame?", f"{right}\nSame? $ {left}"):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            logits += model.base_model(input_ids=ids).last_hidden_state[0, -1] @ layer.weight.T + layer.bias
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            nll -= logprobs.gather(1, ids[0, 1:, None]).sum()
            tokens += ids.shape[1] - 1
    return logits, nll, tokens


def test_both_orders_are_one_item_whose_outputs_are_added(folder):
    head = bind(folder, both_orders=" $ ", lm_weight=0.5)
    wanted = [both_by_hand(folder, head, example) for example in PAIRS]
    items = [item for example in PAIRS for item in head.items(example)]
    assert [len(item.rows) for item in items] == [2, 2, 2]
    assert [item.counts for item in items] == [{"classifier": 1, "lm": tokens} for _, _, tokens in wanted]
    losses = head.loss(head.backbone.forward([sequence.ids for sequence in rows_of_items(items)]), items)
    logits = torch.stack([one for one, _, _ in wanted])
    expected = -logits.log_softmax(-1)[[0, 1, 2], [0, 2, 1]].sum()
    torch.testing.assert_close(losses["classifier"], expected, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(losses["lm"], 0.5 * sum(nll for _, nll, _ in wanted), atol=2e-3, rtol=1e-4)
    engine = LocalEngine(head.backbone, head.modules(), 10_000)
    for example, expected in zip(PAIRS, logits, strict=True):
        answer = head.answer(example, engine.answer(head.requests(example)))
        assert answer.detail["logits"] == pytest.approx(expected.tolist(), abs=2e-4)
        assert answer.scores == pytest.approx(expected.softmax(0).tolist(), abs=2e-4)


def test_the_second_order_keeps_its_passages(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, both_orders=" $ ")
    first, second = head.requests(PAIRS[0])
    assert first.prompt == PAIRS[0].prompt
    assert second.prompt == (
        Part("Bad", "passage"), Part("\nSame?"), Part(" $ "), Part("A film for $ 5", "passage")
    )  # fmt: skip
    long = Example([Part("long " * 100, "passage"), " $ ", Part("short", "passage")], choices=CHOICES, label=0)
    (item,) = head.items(long)
    assert item.cut.tokens > 0
    assert all(len(sequence.ids) <= head.backbone.context for sequence in item.rows)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("one text", "does not occur in"),
        ("one $ two $ three", "occurs twice in"),
        ([Part("one $ two", "passage"), " # ", Part("three", "passage")], "does not occur in"),
        (["one $ ", Part("two", "passage"), " $ ", " $ "], "occurs 3 times in"),
    ],
)
def test_a_delimiter_that_does_not_stand_once(tiny_gpt2_folder, prompt, told):
    head = bind(tiny_gpt2_folder, both_orders=" $ ")
    example = Example(prompt, choices=CHOICES, label=0, id="e9")
    for make in (lambda: list(head.items(example)), lambda: head.requests(example)):
        with pytest.raises(DataError, match=rf"example e9: the delimiter ' \$ ' {told} the fixed text .* exactly once"):
            make()


def test_a_head_for_both_orders_fits_no_other(tiny_gpt2_folder):
    assert bind(tiny_gpt2_folder).fits() == {"choices": list(CHOICES)}
    assert bind(tiny_gpt2_folder, both_orders=" $ ").fits() == {"choices": list(CHOICES), "orders": 2}


def write_pairs(file, rows):
    with open(file, "w", newline="") as out:
        csv.writer(out).writerow(["text", "other", "label"])
        for number in range(rows):
            csv.writer(out).writerow([f"film {number}", f"story {number % 3}", ("negative", "positive")[number % 2]])


def test_a_run_on_pairs_answers_the_same_in_either_order(recipe):
    for split, rows in (("train", 12), ("test", 6)):
        write_pairs(recipe.parent / "data" / f"{split}.csv", rows)
    prompt = {"task.prompt": "{{ text | passage }} $ {{ other | passage }}", "task.data.overlap": "allow"}
    done = run(recipe, "out", "head={use: classifier, both_orders: ' $ ', lm_weight: 0.5}", **prompt)
    rows = samples(done.folder)
    predictor = Predictor(done.folder, load_plugins())
    turned = []
    for row in rows:
        text, other = row.input.split(" $ ")
        turned.append({"text": other, "other": text})
    for row, prediction in zip(rows, predictor.predict([Row(one) for one in turned]), strict=True):
        assert list(prediction.scores.values()) == pytest.approx(list(row.scores), abs=1e-5)
    single = "head={use: classifier}"
    with pytest.raises(BackboneError, match="orders: 2"):
        run(recipe, "again", f"backbone={done.folder}", single, "adapt=none", "train=null", **prompt)


@pytest.mark.parametrize("head", ["choice", "classifier"])
def test_a_hundred_and_fifty_classes(recipe, head):
    labels = [f"topic {number}" for number in range(150)]
    for split, rows in (("train", 8), ("test", 6)):
        with open(recipe.parent / "data" / f"{split}.csv", "w", newline="") as out:
            csv.writer(out).writerow(["text", "label"])
            csv.writer(out).writerows([f"about {number * 20}", labels[number * 20]] for number in range(rows))
    options = {"task.labels": labels, "train.steps": 1, "train.epochs": None, "task.data.overlap": "allow"}
    metrics = "score.metrics=[accuracy, f1, log_loss, calibration_error]"
    done = run(recipe, "out", f"head={head}", metrics, **options)
    rows = samples(done.folder)
    assert done.document["training"]["step"] == 1
    assert all(len(list(row.scores)) == 150 and sum(list(row.scores)) == pytest.approx(1) for row in rows)
    assert done.scores["accuracy"].value == sum(row.answer == row.right for row in rows) / 6
    page = (done.folder / "report.html").read_text("utf-8")
    assert "topic 100" in page


def test_a_plugin_task_whose_choices_differ_is_refused(recipe):
    plugin = recipe.parent / "differing.py"
    plugin.write_text(
        """
from gpttasks import Example, Task, hookimpl

class Differing(Task):
    name = "differing"
    fields = frozenset({"prompt", "choices", "label"})

    def example(self, row):
        return Example(row["text"], choices=("a", "b") if row["label"] == "negative" else ("c", "d"), label=0)

@hookimpl
def gpttasks_register(register):
    register.task(Differing)
"""
    )
    task = {"task": {"use": "differing", "data": {"path": str(recipe.parent / "data")}}}
    with pytest.raises(DataError, match=r"has the choices \['[ac]', '[bd]'\], the first one had"):
        run(recipe, "out", "head=classifier", plugins=[plugin], **task)
