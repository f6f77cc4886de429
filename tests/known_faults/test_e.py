"""Answers that cut words, and trainings whose length was announced too late or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import run, samples

from gpttasks.cli import main


def test_span_answers_consist_of_whole_words(tmp_path: Path, tiny_gpt2_folder: Path) -> None:
    """An untrained model pointed into the middle of words; an answer begins and ends where words do."""
    (tmp_path / "data").mkdir()
    text = "Incomprehensibilities characterise misunderstandings; internationalisation costs 1,234,567.89 dollars."
    part = "nationalisation"  # a mistake of the data: a part of a word
    row = {"context": text, "answers": {"text": [part], "answer_start": [text.index(part)]}}
    for split in ("train", "test"):
        lines = [json.dumps({**row, "question": f"What costs {number}?"}) for number in range(12)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: question-answering, data: {{path: data, overlap: allow}}}}\n"
        "head: span\n"
        "adapt: full\ntrain: {steps: 1, learning_rate: 1.0e-2}\nscore: {metrics: [exact_match], resamples: 5}\n"
        "runtime: {device: cpu, precision: fp32}\n",
        "utf-8",
    )
    done = run(tmp_path / "recipe.yaml", "out")
    borders = {place for place in range(len(text) + 1) if not text[max(0, place - 1) : place + 1].isalnum()}
    borders |= {0, len(text)}
    borders -= set(range(text.index("1,2") + 1, text.index(" dollars")))
    for one in samples(done.folder):
        assert set(one.answer_value) <= borders, one.answer


def test_check_says_that_a_training_is_too_short_to_change_anything(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 rows were two optimiser steps, which nobody saw before the training was over."""
    assert main(["check", str(recipe), "--data", "train.tokens_per_step=8192", "train.epochs=2"]) == 0
    said = capsys.readouterr().err
    assert "training: about 2 steps, about 1,516 tokens, about " in said
    assert "warning: the training will have about 2 optimiser steps, and fewer than 20 seldom change a model" in said
