"""``classifier``: a linear layer on the last real token, by hand."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.backbones.mock import Mock
from gpttasks.engine.local import LocalEngine
from gpttasks.errors import BackboneError, DataError
from gpttasks.heads.classifier import Classifier, ClassifierOptions
from gpttasks.requests import Readout, ReadoutReply
from gpttasks.tasks.example import Example

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
    losses = head.loss(head.backbone.forward([item.sequences[0].ids for item in items]), items)
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
    losses = head.loss(head.backbone.forward([item.sequences[0].ids]), [item])
    assert set(losses) == {"classifier"}


def test_dropout_only_in_training(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder, dropout=0.5)
    items = [item for example in EXAMPLES for item in head.items(example)]
    outputs = head.backbone.forward([item.sequences[0].ids for item in items])
    head.modules().eval()
    assert head.loss(outputs, items)["classifier"].item() == head.loss(outputs, items)["classifier"].item()
    head.modules().train()
    assert head.loss(outputs, items)["classifier"].item() != head.loss(outputs, items)["classifier"].item()


def test_request_and_answer(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    assert head.requests(EXAMPLES[0]) == [Readout(EXAMPLES[0].prompt, "classifier")]
    answer = head.answer(EXAMPLES[0], [ReadoutReply((0.0, 1.0, 1.0))])
    assert (answer.value, answer.text, answer.detail["near_tie"]) == (1, "neutral", True), "the first of equals"
    assert answer.scores == pytest.approx([1 / (1 + 2 * math.e), *[math.e / (1 + 2 * math.e)] * 2])


def test_examples_that_do_not_fit(tiny_gpt2_folder):
    head = bind(tiny_gpt2_folder)
    with pytest.raises(DataError, match=r"example e7 has the choices \['a', 'b'\], the first one had"):
        list(head.items(Example("A", choices=("a", "b"), label=0, id="e7")))
    with pytest.raises(DataError, match="example e8: wanted a label that is an index"):
        list(head.items(Example("A", choices=CHOICES, label=0.5, id="e8")))


def test_needs_a_local_model():
    with pytest.raises(BackboneError, match="head 'classifier' needs a local model, and backbone 'mock' is none"):
        Classifier().bind(Mock(), EXAMPLES[0])
