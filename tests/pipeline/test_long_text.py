"""Reading a long text in windows: the work is announced, counted and shown in tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from small_runs import run
from transformers import AutoTokenizer

from gpttasks import progress
from gpttasks.cli import main

RECIPE = """\
backbone: {model}
task: {{use: language-modeling, data: {{path: text.jsonl, splits: {{test: text.jsonl}}}}, join: "\\n"}}
head: {{use: lm, stride: 32}}
adapt: none
score: {{metrics: [bits_per_byte]}}
runtime: {{device: cpu, precision: fp32, cache: false, tokens_per_batch: 1024}}
"""
CONTEXT, STRIDE = 128, 32


@pytest.fixture
def long_text(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    lines = [f"Line {number} of a long story about the sea and the people who live beside it." for number in range(90)]
    (tmp_path / "text.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines), "utf-8")
    (tmp_path / "long.yaml").write_text(RECIPE.format(model=tiny_gpt2_folder), "utf-8")
    return tmp_path / "long.yaml"


def windows_of(tokens: int) -> list[int]:
    """The lengths of the windows: the first one is full, and each of the others predicts ``STRIDE`` more tokens."""
    lengths, done = [], 1
    while done < tokens:
        done = min(tokens, done + (STRIDE if lengths else CONTEXT - 1))
        lengths.append(min(done, CONTEXT))
    return lengths


def test_tokens_and_windows_are_announced_and_are_what_is_read(
    long_text: Path, tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\n".join(json.loads(line)["text"] for line in long_text.with_name("text.jsonl").read_text().splitlines())
    lengths = windows_of(len(AutoTokenizer.from_pretrained(tiny_gpt2_folder)(text)["input_ids"]))
    announced = f"scoring: {sum(lengths):,} tokens to read in {len(lengths):,} windows"
    assert main(["check", str(long_text), "--data"]) == 0
    assert announced in "".join(capsys.readouterr())
    done = run(long_text, "out")
    assert announced in capsys.readouterr().err
    assert done.record.engine.tokens_asked == sum(lengths)


def test_one_text_moves_steadily(
    long_text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    run(long_text, "out")
    found = re.findall(r"scoring: 0/1 requests, ([\d,]+) of ([\d,]+) tokens, .* left", capsys.readouterr().err)
    done = [int(number.replace(",", "")) for number, _ in found]
    assert len(done) > 3
    assert done == sorted(done)
    assert len({total for _, total in found}) == 1


def test_what_is_announced_for_choices_and_texts_is_what_is_read(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, changes in {"choice": ["score.shots=2"], "text": ["head={use: generate, max_tokens: 3}"]}.items():
        metrics = "score.metrics=[accuracy]" if name == "choice" else "score.metrics=[distinct]"
        done = run(recipe, name, "adapt=none", "train=null", "runtime.cache=false", metrics, *changes)
        told = re.search(
            r"scoring: ([\d,]+) tokens to read(?:, and at most ([\d,]+) tokens to write)?", capsys.readouterr().err
        )
        assert told
        read, written = (int((number or "0").replace(",", "")) for number in told.groups())
        assert written == (0 if name == "choice" else 3 * 12)
        assert read <= done.record.engine.tokens_asked <= read + written
