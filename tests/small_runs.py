"""Runs of the recipe in the fixture ``recipe``: a tiny random GPT-2, 24 reviews to train and 12 to test."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gpttasks
from gpttasks import Run, read_run
from gpttasks.records.samples import Sample

WORDS = {"negative": ("dull", "poor", "boring", "bad"), "positive": ("good", "great", "superb", "fine")}


def write_reviews(file: Path, rows: int, start: int = 0) -> None:
    with open(file, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        for number in range(start, start + rows):
            label = ("negative", "positive")[number % 2]
            word = WORDS[label][number // 2 % 4]
            writer.writerow([f"Number {number}: a {word} film with a {word} end.", label])


def write_recipe(folder: Path, model: Path) -> Path:
    """The recipe and the data of the fixture ``recipe``, in a folder."""
    (folder / "data").mkdir()
    write_reviews(folder / "data" / "train.csv", 24)
    write_reviews(folder / "data" / "test.csv", 12, start=100)
    file = folder / "tiny.yaml"
    file.write_text(
        f"""
backbone: {model}
task:
  use: classification
  data: {{path: data}}
  prompt: "{{{{ text | passage }}}}\\nSentiment:"
  labels: [negative, positive]
head: choice
adapt: {{use: lora, rank: 4, dropout: 0.1}}
train: {{epochs: 2, learning_rate: 1.0e-2, tokens_per_step: 200}}
score: {{metrics: [accuracy, {{use: f1, average: macro}}, log_loss], resamples: 50}}
runtime: {{precision: fp32, device: cpu}}
"""
    )
    return file


def run(recipe: Path, folder: str, *overrides: str, **options: Any) -> Run:
    return gpttasks.run(recipe, *overrides, out=recipe.parent / folder, **options)


def samples(folder: Path) -> list[Sample]:
    return read_run(folder).samples()
