"""Tokens and boundaries: wrong tokens, and answers compared or continued from the wrong place."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import AddedToken
from tokens.byte_tokenizers import film_bpe
from transformers import AutoModelForCausalLM, AutoTokenizer

import gpttasks
from gpttasks.engine.generation import generate
from gpttasks.example import as_prompt
from gpttasks.requests import Generate
from gpttasks.tokens.tokenizer import TextTokenizer

CHOICES = """
backbone: {model}
task:
  use: multiple-choice
  data: {{path: "{data}", splits: {{test: test.jsonl}}}}
  prompt: "{{{{ q }}}}"
  choices: choices
  label: gold
head: {{use: choice, separator: "{separator}"}}
score: {{metrics: [accuracy], resamples: 20}}
runtime: {{precision: fp32, device: cpu}}
"""


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
    """A stop text that is a special token never ended the text; it ends the text where the model writes it."""
    inner = film_bpe()
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
    """Tokenizers with clean-up switched on lost the spaces before punctuation; decoding keeps the text as written."""
    inner, calls = film_bpe(), []
    inner.clean_up_tokenization_spaces = True
    tokenizer = TextTokenizer(inner)
    text = "x != y , he does n't know . the word 'social' and for 'manual'"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    tokenizer.inner = SimpleNamespace(decode=lambda ids, **options: calls.append(options) or "")
    tokenizer.decode([1])
    tokenizer.pieces([1])
    assert [call["clean_up_tokenization_spaces"] for call in calls] == [False, False]


def plain_logprobs(folder: Path, text: str) -> tuple[list[int], list[float]]:
    """The ids of the text, and the log-probability of each after an end token, by transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    with torch.no_grad():
        logprobs = model(torch.tensor([[tokenizer.bos_token_id, *ids]])).logits[0].log_softmax(-1)
    return ids, [logprobs[place, token].item() for place, token in enumerate(ids)]


def choice_run(folder: Path, model: Path, prompt: str, choices: list[str], separator: str) -> list[float]:
    """The log-probabilities of the choices in a run."""
    folder.mkdir()
    (folder / "test.jsonl").write_text(json.dumps({"q": prompt, "choices": choices, "gold": 0}))
    (folder / "recipe.yaml").write_text(CHOICES.format(model=model, data=folder, separator=separator))
    (sample,) = gpttasks.run(folder / "recipe.yaml", out=folder / "run").samples()
    return list(sample.logprobs)


def test_options_from_different_boundaries(tmp_path, tiny_gpt2_folder):
    """If a token spanned the end of the prompt for one option only, the options were scored from different places; all
    are scored from the same place.
    """
    prompt, choices = "It is re", ["view", "ad", "x"]
    found = choice_run(tmp_path / "run", tiny_gpt2_folder, prompt, choices, "")
    rows = [plain_logprobs(tiny_gpt2_folder, prompt + choice) for choice in choices]
    alone, _ = plain_logprobs(tiny_gpt2_folder, prompt)
    assert [ids[: len(alone)] == alone for ids, _ in rows] == [False, True, True]
    assert found == pytest.approx([sum(logprobs[len(alone) - 1 :]) for _, logprobs in rows], abs=1e-4)


def test_trailing_space(tmp_path, tiny_gpt2_folder):
    """A space at the end of a prompt changed the scores of options; it no longer does."""
    choices = ["positive", "17", "bad"]
    plain, space = (
        choice_run(tmp_path / name, tiny_gpt2_folder, prompt, choices, " ")
        for name, prompt in (("plain", "The answer:"), ("space", "The answer: "))
    )
    assert space == pytest.approx(plain, abs=1e-6)
