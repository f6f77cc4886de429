"""Prediction repeats what the run did: on the rows that a run scored, every head answers as the run's samples say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import document, write_tasks
from small_runs import samples

import gpttasks
from gpttasks.data.rows import Row
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

WORDS = ("red", "green", "blue", "grey")
COLOUR = "classification, prompt: '{{ text | passage }} Colour:', label: colour, labels: [red, green, blue, grey]"
BF16 = "runtime: {precision: bf16, device: cpu}\n"
FULL = ("{use: lora, rank: 2}", "full")
LORA = "adapt: {use: lora, rank: 2}\ntrain: {epochs: 2, learning_rate: 1.0e-2, tokens_per_step: 128}\n"

HEADS = {
    "choice": (
        COLOUR,
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
        COLOUR,
        "choice",
        "shots: 1, metrics: [accuracy]",
        LORA,
    ),
    "choice, cut": (
        COLOUR.replace("text", "(text ~ text ~ text ~ text ~ text ~ text ~ text ~ text)"),
        "choice",
        "shots: 2, metrics: [accuracy]",
        "",
    ),
    "choice, trained in bf16": (COLOUR, "choice", "metrics: [accuracy]", LORA + BF16),
    "choice, all weights in bf16": (COLOUR, "choice", "metrics: [accuracy]", LORA.replace(*FULL) + BF16),
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
    "rescore, tuned only": (
        "transcript-correction, prompt: 'Heard:', hypotheses: heard, transcript: text",
        "rescore",
        "metrics: [wer]",
        "",
    ),
    "span": (
        "question-answering, prompt: 'Which colour? {{ text | passage }}', context: text, answers: answers",
        "span",
        "metrics: [exact_match]",
        LORA,
    ),
    "span, with a threshold": (
        "question-answering, prompt: 'Which colour? {{ text | passage }}', context: text, answers: found, "
        "unanswerable: true",
        "{use: span, no_answer: true}",
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
                "answers": (answers := {"text": [colour], "answer_start": [text.index(colour)]}),
                "found": answers if number % 3 else {"text": [], "answer_start": []},
            }
        )
    return rows


ANSWERS = {"colour", "colours", "number", "answers", "found"}
"""The columns that predict does not need, unless a task reads them."""


@pytest.mark.parametrize("head", HEADS)
def test_every_head_answers_scored_rows_as_the_run_did(head: str, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
    task, use, score, adapt = HEADS[head]
    (tmp_path / "data").mkdir()
    for split, first, count in (("train", 100, 16), ("validation", 200, 8), ("test", 0, 8)):
        lines = [json.dumps(row) + "\n" for row in rows_of(first, count)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    runtime = "" if "runtime" in adapt else "runtime: {precision: fp32, device: cpu}\n"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: {task}, data: {{path: data}}}}\nhead: {use}\n"
        f"score: {{{score}, resamples: 10}}\n{adapt}{runtime}",
        "utf-8",
    )
    first = gpttasks.run(recipe, out=tmp_path / "first")
    compare(first.folder)
    assert any(row.truncated for row in samples(first.folder)) == head.endswith("cut")
    if not (first.folder / "head").exists():
        return
    tuned = (first.folder / "head" / "tuned.json").exists()
    assert tuned == head.startswith(("multilabel", "rescore", "span, with"))
    scored = first
    for name in ("second", "third") if tuned else ():  # runs that train nothing and score the run before them
        scored = gpttasks.run(recipe, f"backbone={scored.folder}", "adapt=none", "train=null", out=tmp_path / name)
        assert not (scored.folder / "head").exists()
        for left, right in zip(samples(scored.folder), samples(first.folder), strict=True):
            assert (left.answer, list(left.scores)) == (right.answer, pytest.approx(list(right.scores), abs=1e-5))
        compare(scored.folder)


def compare(folder: Path) -> None:
    """Predict the rows that the run scored, and compare with its samples."""
    predictor = Predictor(folder, load_plugins())
    left_out = ANSWERS - set(predictor.columns) | ({"text"} if "heard" in predictor.columns else set())
    given = [Row({key: value for key, value in row.items() if key not in left_out}) for row in rows_of(0, 8)]
    for row, one in zip(samples(folder), predictor.predict(given), strict=True):
        if isinstance(row.answer_value, float):  # a likelihood has no text of its own
            assert one.value == pytest.approx(row.answer_value, abs=1e-3)
        else:
            assert one.text == row.answer
        assert one.cut_tokens == row.truncated
        if row.choices and one.scores:
            assert list(one.scores.values()) == pytest.approx(list(row.scores), abs=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the harness
@pytest.mark.parametrize("name", ["tiny-shots", "tiny-written", "tiny-rolling"])
def test_the_head_of_the_harness_answers_scored_documents_as_the_run_did(
    name: str, tmp_path: Path, tiny_gpt2_folder: Path
) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: the extra lm-eval installs it")
    tasks = write_tasks(tmp_path / "tasks", documents=6)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: lm-eval, task: {name}, include: {tasks}}}\nhead: lm-eval\n"
        "score: {metrics: [lm-eval], resamples: 5}\nruntime: {precision: fp32, device: cpu}\n",
        "utf-8",
    )
    done = gpttasks.run(recipe, out=tmp_path / "run")
    given = [Row(document(number)) for number in range(6)]
    predicted = list(Predictor(done.folder, load_plugins()).predict(given))
    assert [one.text for one in predicted] == [row.answer for row in samples(done.folder)]
    assert len(predicted) == 6
