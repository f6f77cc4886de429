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


def run(recipe: Path, folder: str, *overrides: str, **options: Any) -> Run:
    return gpttasks.run(recipe, *overrides, out=recipe.parent / folder, **options)


def samples(folder: Path) -> list[Sample]:
    return read_run(folder).samples()
