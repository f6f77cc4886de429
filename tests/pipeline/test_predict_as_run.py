"""Prediction repeats what the run did: on the rows that a run scored, every head answers as the run's samples say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import samples

import gpttasks
from gpttasks.data.rows import Row
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

WORDS = ("red", "green", "blue", "grey")
LORA = "adapt: {use: lora, rank: 2}\ntrain: {epochs: 2, learning_rate: 1.0e-2, tokens_per_step: 128}\n"

HEADS = {
    "choice": (
        "classification, prompt: '{{ text | passage }} Colour:', label: colour, labels: [red, green, blue, grey]",
        "choice",
        "shots: 3, metrics: [accuracy]",
        "",
    ),
    "choice, special tokens": (
        "classification, prompt: '<|endoftext|>{{ text | passage }}<|endoftext|> Colour:', label: colour, "
        "labels: [red, green, blue, grey]",
        "choice",
        "shots: 3, metrics: [accuracy]",
        "",
    ),
    "choice, trained": (
        "classification, prompt: '{{ text | passage }} Colour:', label: colour, labels: [red, green, blue, grey]",
        "choice",
        "shots: 1, metrics: [accuracy]",
        LORA,
    ),
    "classifier": (
        "classification, prompt: '{{ text | passage }}', label: colour, labels: [red, green, blue, grey]",
        "classifier",
        "metrics: [accuracy]",
        LORA,
    ),
    "generate": (
        "generation, prompt: '{{ text | passage }} Colour:', target: '{{ colour }}'",
        "{use: generate, max_tokens: 6}",
        "shots: 2, metrics: [exact_match]",
        "",
    ),
    "lm": (
        "generation, prompt: '{{ text | passage }} Colour:'",
        "lm",
        "metrics: [bits_per_byte]",
        LORA,
    ),
    "multilabel": (
        "multi-label-classification, prompt: '{{ text | passage }}', label: colours, labels: [red, green, blue, grey]",
        "multilabel",
        "metrics: [{use: multilabel_f1, average: micro}]",
        LORA,
    ),
    "regression": (
        "regression, prompt: '{{ text | passage }}', label: number",
        "regression",
        "metrics: [pearson]",
        LORA,
    ),
    "rescore": (
        "transcript-correction, prompt: 'Heard:', hypotheses: heard, transcript: text",
        "rescore",
        "metrics: [wer]",
        LORA,
    ),
    "span": (
        "question-answering, prompt: 'Which colour? {{ text | passage }}', context: text, answers: answers",
        "span",
        "metrics: [exact_match]",
        LORA,
    ),
}


def rows_of(first: int, count: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(first, first + count):
        colour = WORDS[number % 4]
        text = f"Number {number} is a {colour} thing."
        rows.append(
            {
                "n": number,
                "text": text,
                "colour": colour,
                "colours": [colour, WORDS[number // 4 % 4]]
                if number % 3 and number // 4 % 4 != number % 4
                else [colour],
                "number": number * 0.5,
                "heard": [f"Number {number} is the {colour} thin.", text],
                "answers": {"text": [colour], "answer_start": [text.index(colour)]},
            }
        )
    return rows


@pytest.mark.parametrize("head", HEADS)
def test_every_head_answers_scored_rows_as_the_run_did(head: str, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
    task, use, score, adapt = HEADS[head]
    (tmp_path / "data").mkdir()
    for split, first, count in (("train", 100, 16), ("validation", 200, 8), ("test", 0, 8)):
        lines = [json.dumps(row) + "\n" for row in rows_of(first, count)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: {task}, data: {{path: data}}}}\nhead: {use}\n"
        f"score: {{{score}, resamples: 10}}\n{adapt}runtime: {{precision: fp32, device: cpu}}\n",
        "utf-8",
    )
    done = gpttasks.run(tmp_path / "recipe.yaml", out=tmp_path / "run")
    predictor = Predictor(done.folder, load_plugins())
    answers = {"colour", "colours", "number", "answers"} - set(predictor.columns)
    answers |= {"text"} if head == "rescore" else set()
    given = [Row({key: value for key, value in row.items() if key not in answers}) for row in rows_of(0, 8)]
    for row, one in zip(samples(done.folder), predictor.predict(given), strict=True):
        if head == "lm":  # a likelihood has no text of its own
            assert float(one.text) == pytest.approx(row.answer_value, abs=1e-3)
        else:
            assert one.text == row.answer
        if row.choices and one.scores:
            assert list(one.scores.values()) == pytest.approx(list(row.scores), abs=1e-5)
