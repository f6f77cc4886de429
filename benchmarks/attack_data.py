"""Attacks by data files with strange cells and damages, which one process reads.

The oracle does not use the code under attack: a file that is accepted must have as many rows as Python's csv and json
or pyarrow find in it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from attack_damage import VALUES, flip_bytes
from attack_folders import Attack, Outcome, Stories, fresh, not_accepted
from attack_process import Result, here

from gpttasks.cli import main

DATA_RECIPE = """
backbone: nano
task:
  use: classification
  data: {path: DATA, splits: {test: train}}
  prompt: "{{ text }}\\nSentiment:"
  labels: [negative, positive]
head: choice
score: {metrics: [accuracy]}
"""
LABELS = ("negative", "positive")
CELLS = (
    "A good film",
    "dull",
    "",
    " ",
    "a,b",
    'say "no"',
    "two\nlines",
    "\x1b[31mred",
    "=1+1",
    "nan",
    "null",
    "1e400",
    "é" * 50,
    "\u202e",
    "\0",
    "x" * 5000,
    "{{ 1 }}",
    "'",
    '"',
    "\\",
    "\t",
    "\r",
    "\ufeff",
)


def data_files(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Data files with strange cells and damages, which ``gpttasks check --data`` reads."""
    for number in range(count):
        yield f"data file {number}", _data_file


def _data_file(random: Random, place: Path) -> Outcome:
    suffix = random.choice((".csv", ".csv", ".tsv", ".jsonl", ".parquet"))
    rows = [
        {"text": random.choice(CELLS) if random.random() < 0.1 else f"film {number}", "label": random.choice(LABELS)}
        for number in range(random.randrange(1, 30))
    ]
    file = fresh(place) / f"data{suffix}"
    _write(rows, file)
    said = f"{suffix}, {len(rows)} rows"
    for _ in range(random.choice((0, 1, 1, 2))):
        kind = random.choice(DATA_CHANGES)
        if file.stat().st_size:
            said += f", {kind(file, random)}"
    (place / "recipe.yaml").write_text(DATA_RECIPE.replace("DATA", file.name))
    result = here(lambda: main(["check", "recipe.yaml", "--data"]), place)
    return not_accepted(said, result) or _all_rows(said, file, result)


def _write(rows: list[dict[str, str]], file: Path) -> None:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        with open(file, "w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, ["text", "label"], delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def _cut_file(file: Path, random: Random) -> str:
    content = file.read_bytes()
    kept = random.randrange(len(content) + 1)
    file.write_bytes(content[:kept])
    return f"cut to {kept} of {len(content)} bytes"


def _insert(file: Path, random: Random) -> str:
    content, noise = (
        file.read_bytes(),
        random.choice(
            (
                b"\0",
                b'"',
                b"\n",
                b"\r",
                b",",
                b"\xff",
                b"\xef\xbb\xbf",
                b"{",
                b"]",
                b"null",
                b"1" * 400,
                b"[" * 3000,
                b'"a": NaN,',
            )
        ),
    )
    place = random.randrange(len(content) + 1)
    file.write_bytes(content[:place] + noise + content[place:])
    return f"{noise[:10]!r} inserted at {place}"


def _encode(file: Path, random: Random) -> str:
    name = random.choice(("utf-16", "latin-1", "utf-8-sig", "utf-32"))
    file.write_bytes(file.read_bytes().decode("utf-8", "replace").encode(name, "replace"))
    return name


def _replace_value(file: Path, random: Random) -> str:
    """One value of another type; in a CSV file, one cell."""
    value = random.choice(VALUES)
    if file.suffix != ".jsonl":
        return flip_bytes(file, random)
    text = file.read_text("utf-8", "replace")
    places = list(re.finditer(r'(?<=": )"[^"]*"', text))
    if not places:
        return flip_bytes(file, random)
    place = random.choice(places)
    file.write_text(text[: place.start()] + json.dumps(value) + text[place.end() :], "utf-8")
    return f"value {value!r:.20}"


DATA_CHANGES: tuple[Callable[[Path, Random], str], ...] = (
    flip_bytes,
    _cut_file,
    _insert,
    _insert,
    _encode,
    _replace_value,
)


def _all_rows(said: str, file: Path, result: Result) -> Outcome:
    """Whether ``check --data`` read as many rows as another reader finds in a file that was accepted."""
    match = re.search(r"rows read +([0-9,]+)", result.messages)
    read = int(match.group(1).replace(",", "")) if match else None
    try:
        found = _rows(file)
    except Exception as error:
        return Outcome(said, "silent", f"accepted with {read} rows, but {type(error).__name__}: {error!s:.80}")
    if read != found:
        return Outcome(said, "silent", f"{read} rows were read, and there are {found}")
    return Outcome(said, "reported" if result.warnings else "held", min(result.warnings, default=""))


def _rows(file: Path) -> int:
    """The rows of a data file, by another reader."""
    if file.suffix == ".parquet":
        return int(pq.read_table(file).num_rows)
    text = file.read_bytes().decode("utf-8-sig")
    if file.suffix == ".jsonl":
        return sum(1 for line in text.split("\n") if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if file.suffix == ".tsv" else ",")
    return sum(1 for row in reader if row) - 1
