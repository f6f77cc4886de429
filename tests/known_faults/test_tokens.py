"""Faults of likelihoods and generated texts that gave a wrong number without a message, one short test each."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from gpttasks.answer import Answer
from gpttasks.backbones.scratch import train_bpe
from gpttasks.engine.generation import generate
from gpttasks.example import Example, as_prompt
from gpttasks.metrics.likelihood import WordPerplexity
from gpttasks.requests import Generate
from gpttasks.tokens.tokenizer import TextTokenizer


def bpe():
    return train_bpe(["the good film, a bad film; good films are positive\n"] * 9, 300, 64)


class Writer:
    """Writes the given ids one after the other, whatever the prompt says."""

    generation_config = None

    def __init__(self, prompt_tokens, ids):
        self.prompt_tokens, self.ids = prompt_tokens, ids

    def __call__(self, input_ids, logits_to_keep):
        logits = torch.zeros(1, 1, 400)
        logits[0, 0, self.ids[input_ids.shape[1] - self.prompt_tokens]] = 9.0
        return SimpleNamespace(logits=logits)


@pytest.mark.parametrize("stop", [("<|eot|>",), ("bad", "<|eot|>")])
def test_stop_text_is_special_token(stop):
    """A stop text that is a special token never stopped anything; it ends the text where the model writes it."""
    inner = bpe()
    inner.add_special_tokens({"additional_special_tokens": [AddedToken("<|eot|>", special=True)]})
    tokenizer = TextTokenizer(inner)
    written = [*tokenizer.encode("the good film"), inner.convert_tokens_to_ids("<|eot|>"), *tokenizer.encode(" a bad")]
    prompt = "the film"
    backbone = SimpleNamespace(
        tokenizer=tokenizer,
        context=256,
        device="cpu",
        causal_lm=Writer(len([*tokenizer.starts_with, *tokenizer.encode(prompt)]), written),
        inputs=lambda ids: {"input_ids": ids},
        supports=SimpleNamespace(cache_name=None),
    )
    reply = generate(backbone, Generate(as_prompt(prompt), len(written), stop))
    assert (reply.text, reply.finish) == ("the good film", "stop")


def test_decode_cleans_up_spaces():
    """A tokenizer that asks for it lost the spaces before punctuation; a text is decoded as it was written."""
    inner, calls = bpe(), []
    inner.clean_up_tokenization_spaces = True
    tokenizer = TextTokenizer(inner)
    text = "x != y , he does n't know . the word 'social' and for 'manual'"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    tokenizer.inner = SimpleNamespace(decode=lambda ids, **options: calls.append(options) or "")
    tokenizer.decode([1])
    tokenizer.pieces([1])
    assert [call["clean_up_tokenization_spaces"] for call in calls] == [False, False]


def test_word_perplexity_of_target():
    """The nats of a target were divided by the words of its prompt; they are divided by the words of the target."""
    rows = [
        (Example("one two three four", target=" five six"), 6.0),
        (Example("seven eight nine", target="ten\n"), 3.0),
    ]
    stats = [WordPerplexity().sample(example, Answer(nats, scores=(nats, 2, 8))) for example, nats in rows]
    assert WordPerplexity().total(np.array(stats)) == pytest.approx(math.exp(9 / 3))
