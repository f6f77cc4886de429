"""Models and lengths: text lengths and magnitudes that were not tested on a model, and where a text is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.model import self_tests
from gpttasks.model.capabilities import Capability, unless
from gpttasks.recipe import load_recipe
from gpttasks.records.folder import read_events

PROMPTED = ("adapt=none", "train=null", "score.metrics=[accuracy]")


def test_the_score_of_a_longrope_model_does_not_depend_on_what_else_is_read(
    recipe: Path, tiny_folder: Callable[[str], Path]
) -> None:
    """A Phi-3 used its long rotary factors for short texts batched with long ones, 9 nats off; each text gets its own
    factors.
    """
    folder = tiny_folder("phi3")
    for path in (recipe.parent / "data").glob("*.csv"):  # texts on both sides of the change at 24 tokens
        lines = path.read_text().splitlines()
        short = [line.partition(" film")[0] + '",' + line.rpartition(",")[2] for line in lines[1::3]]
        path.write_text("\n".join([*lines, *(line.replace('",', ",").replace('"', "") for line in short)]) + "\n")
    ways = {
        "together": (),
        "in small batches": ("runtime.tokens_per_batch=60",),
        "without sharing": ("runtime.sharing=false", "runtime.tokens_per_batch=4000"),
    }
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    lengths = set()
    for name, overrides in ways.items():
        done = run(recipe, name, f"backbone={folder}", *PROMPTED, *overrides)
        for sample in samples(done.folder):
            prompt = tokenizer(sample.input)["input_ids"]
            found = []
            for label in (" negative", " positive"):
                answer = tokenizer(label, add_special_tokens=False)["input_ids"]
                with torch.no_grad():
                    logprobs = model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
                found.append(sum(logprobs[len(prompt) - 1 + n, token].item() for n, token in enumerate(answer)))
                lengths.add(len(prompt + answer) > 24)
            assert sample.logprobs == pytest.approx(found, abs=1e-4), name
    assert lengths == {True, False}


def test_the_first_step_of_a_longrope_model_does_not_depend_on_the_batch(
    recipe: Path, tiny_folder: Callable[[str], Path]
) -> None:
    """The first training loss of Phi-3 depended on runtime.tokens_per_batch; it is the same as for each text alone."""
    losses = []
    for tokens in (30, 4000):
        done = run(
            recipe,
            f"train-{tokens}",
            f"backbone={tiny_folder('phi3')}",
            "adapt.dropout=0",
            "train={steps: 1, learning_rate: 1.0e-3, tokens_per_step: 400}",
            f"runtime.tokens_per_batch={tokens}",
        )
        losses.append(next(event["loss"] for event in read_events(done.folder) if event["event"] == "step"))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_cap_on_logits_that_small_weights_hide_is_found(recipe: Path) -> None:
    """Gemma 2 from scratch was trained and scored without its cap on logits, which new weights never reach."""
    (recipe.parent / "lm.yaml").write_text(
        """
backbone:
  use: scratch
  model_type: gemma2
  vocabulary: 300
  context: 64
  config: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4,
    num_key_value_heads: 2, head_dim: 8, final_logit_softcapping: 5.0}
task: {use: language-modeling, data: {path: data}}
head: lm
adapt: full
train: {epochs: 10, learning_rate: 3.0e-2, tokens_per_step: 200}
score: {metrics: [perplexity], resamples: 20}
runtime: {precision: fp32, device: cpu}
"""
    )
    done = run(recipe.parent / "lm.yaml", "out")
    assert done.document["backbone"]["capabilities"]["direct_head"] is False
    model = AutoModelForCausalLM.from_pretrained(done.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(done.folder / "model")
    for sample in samples(done.folder):
        ids = torch.tensor([tokenizer(sample.input)["input_ids"]])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss.item()
        assert sample.scores is not None
        assert sample.scores[0] == pytest.approx(loss * (ids.shape[1] - 1), rel=1e-4)


def test_what_fails_after_the_training_is_switched_off_and_said(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a model can do was tested with its initial weights only; it is tested again with the trained weights."""
    real, tried = self_tests.try_sharing, []

    def fails_at_last(lm: self_tests.CausalLM, scope: self_tests.Scope) -> Capability:
        trained = any(name.endswith("lora_B.default.weight") for name, _ in lm.model.named_parameters())
        tried.append(trained)
        return unless("it fails for a test") if trained else real(lm, scope)

    monkeypatch.setattr(self_tests, "try_sharing", fails_at_last)
    done = run(recipe, "out")
    assert tried[-1]
    assert done.document["backbone"]["capabilities"]["shares_prompts_reason"] == "it fails for a test"
    assert "switched off for the trained model: sharing: it fails for a test" in capfd.readouterr().err


def test_a_text_that_is_to_be_continued_keeps_its_end(
    recipe: Path, tiny_gpt2_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A LAMBADA passage that was too long lost its end, just before the word to predict; it loses its start."""
    words = " ".join(f"word{number}" for number in range(30))
    lines = "".join(json.dumps({"text": f"{start} {words} last"}) + "\n" for start in ("One", "Two", "Three"))
    (recipe.parent / "test.jsonl").write_text(lines)
    (recipe.parent / "lambada.yaml").write_text(
        f"""
backbone: {{use: hf, path: {tiny_gpt2_folder}, context: 32}}
task:
  use: generation
  data: {{path: {recipe.parent}, splits: {{test: test.jsonl}}}}
  prompt: "{{{{ text.rsplit(' ', 1)[0] | passage(keep='end') }}}}"
  target: "{{{{ text.rsplit(' ', 1)[1] }}}}"
head: lm
score: {{metrics: [perplexity], resamples: 20}}
runtime: {{precision: fp32, device: cpu}}
"""
    )
    done = run(recipe.parent / "lambada.yaml", "out")
    counts = done.document["samples"]
    assert (counts["truncated"], counts["truncated_at_start"]) == (3, 3)
    assert (
        "3 of 3 scored examples are longer than the context of 32 tokens; their passages were cut at their start"
        in (capfd.readouterr().err)
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder).eval()
    for sample in samples(done.folder):
        ids = tokenizer(sample.input + " last", add_special_tokens=False)["input_ids"]
        predicted = len(ids) - len(tokenizer(sample.input, add_special_tokens=False)["input_ids"])
        row = [tokenizer.bos_token_id, *ids[-31:]]  # what fits, from the end
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        nats = -sum(logprobs[place - 1, row[place]].item() for place in range(32 - predicted, 32))
        assert sample.scores is not None
        assert sample.scores[0] == pytest.approx(nats, abs=1e-4)


@pytest.mark.parametrize("name", ["lambada-zero-shot", "hellaswag-zero-shot", "hellaswag-folder"])
def test_bundled_recipes_of_texts_to_continue_keep_their_ends(name: str) -> None:
    """The bundled recipes of LAMBADA and HellaSwag cut a long text at its end, where the model should continue it."""
    assert "passage(keep='end')" in load_recipe(name).task.options.prompt
