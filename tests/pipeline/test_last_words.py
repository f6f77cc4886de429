"""Predicting the last word of a text, as in LAMBADA: what the model preferred to the right word can be read."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace
from gpttasks.cli import main
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.example import as_prompt
from gpttasks.requests import LogLikelihood

RECIPE = """\
backbone: {model}
task:
  use: generation
  data: {{path: data}}
  prompt: "{{{{ text.rsplit(' ', 1)[0] | passage(keep='end') }}}}"
  target: "{{{{ text.rsplit(' ', 1)[1] }}}}"
head: lm
adapt: none
score: {{metrics: [greedy_match, word_perplexity]}}
runtime: {{device: cpu, precision: fp32}}
"""
TEXTS = [f"On day {number} she opened the {word}" for number, word in enumerate(("door", "letter", "old window") * 3)]


def preferred(model: torch.nn.Module, tokenizer: object, prompt: str, word: str) -> tuple[str, bool]:
    """The text of the right tokens up to the first that is not the most likely one, and whether all are."""
    before, whole = (tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {word}"))
    with torch.no_grad():
        best = model(torch.tensor([whole])).logits[0].argmax(-1).tolist()
    ids = whole[len(before) :]
    for place, right in enumerate(ids):
        likeliest = best[len(before) + place - 1]
        if likeliest != right:
            return tokenizer.decode([*ids[:place], likeliest]), False
    return tokenizer.decode(ids), True


@pytest.fixture
def words(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), "utf-8")
    file = tmp_path / "words.yaml"
    file.write_text(RECIPE.format(model=tiny_gpt2_folder), "utf-8")
    return file


def test_samples_report_and_predictions_show_what_the_model_preferred(
    words: Path, tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(words, "out")
    model, tokenizer = (kind.from_pretrained(tiny_gpt2_folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    found = samples(done.folder)
    for one in found:
        text, hit = preferred(model, tokenizer, one.input, one.target)
        assert one.answer == (text.strip() or text)
        assert one.detail["greedy"] == hit
    page = (done.folder / "report.html").read_text("utf-8")
    assert all(f'<th scope="col"{kind}>{name}</th>' in page for name, kind in (("Right", ""), ("Preferred", "")))
    assert "p(right)" in page
    texts = [f"{one.input} {one.target}" for one in found]
    assert main(["predict", str(done.folder), *texts, "--output", str(words.with_suffix(".csv"))]) == 0
    with words.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        for row, one in zip(csv.DictReader(file), found, strict=True):
            assert row["prediction_preferred"] == one.answer
            assert row["prediction_hit"] == json.dumps(one.detail["greedy"])
            assert float(row["prediction_nats"]) == pytest.approx(one.answer_value, abs=1e-4)
            verdict = f"hit: {one.target}" if one.detail["greedy"] else f"miss: {one.answer} instead of {one.target}"
            assert row["prediction"].startswith(verdict)
            assert row["prediction"].endswith(" nats)")


def test_both_engines_say_the_same_and_only_if_asked(tiny_gpt2_folder: Path) -> None:
    backbone = HuggingFace(HuggingFace.Options(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings(device="cpu", precision="fp32"))
    lm = backbone.lm
    prompts = [text.rsplit(" ", 1)[0] for text in TEXTS]
    pairs = [(prompt, " door") for prompt in prompts]
    with torch.no_grad():
        for prompt in [*prompts, *(f"{prompt} {number}" for number in range(9) for prompt in prompts)]:
            ids = torch.tensor([[0, *lm.tokenizer.encode(prompt)]])
            pairs.append((prompt, lm.tokenizer.decode([int(lm.causal_lm(ids).logits[0, -1].argmax())])))
    pairs = [pair for pair in pairs if "\ufffd" not in pair[1]]  # parts of characters
    asked = [LogLikelihood(as_prompt(prompt), text, preferred=flag) for prompt, text in pairs for flag in (True, False)]
    plain, shared = (kind(lm, None, 512).answer(asked) for kind in (LocalEngine, SharedEngine))
    assert [reply.preferred for reply in plain] == [reply.preferred for reply in shared]
    assert [reply.preferred is None for reply in plain] == [not request.preferred for request in asked]
    for request, reply in zip(asked, plain, strict=True):
        if request.preferred:
            assert reply.greedy == (reply.preferred == request.continuation)
    assert any(reply.greedy for reply in plain)
    assert not all(reply.greedy for reply in plain)


def test_the_likelihood_of_a_text_has_its_unit(tmp_path: Path, tiny_gpt2_folder: Path) -> None:
    """A text without a target is shown in nats, in nats per token and in bits per byte."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.jsonl").write_text(json.dumps({"text": TEXTS[0]}), "utf-8")
    file = tmp_path / "text.yaml"
    lines = ["task: {use: language-modeling, data: {path: data}}", "head: lm", "adapt: none"]
    file.write_text("\n".join([f"backbone: {tiny_gpt2_folder}", *lines, "score: {metrics: [bits_per_byte]}"]), "utf-8")
    done = run(file, "out", "runtime={device: cpu, precision: fp32}")
    output = tmp_path / "out.jsonl"
    assert main(["predict", str(done.folder), TEXTS[0], "--output", str(output)]) == 0
    (row,) = map(json.loads, output.read_text("utf-8").splitlines())
    nats, tokens, size = (row[f"prediction_{name}"] for name in ("nats", "tokens", "bytes"))
    assert size == len(TEXTS[0])
    bits = nats / math.log(2) / size
    assert row["prediction"] == f"{nats:.6g} nats, {nats / tokens:.4g} per token, {bits:.4g} bits per byte"
