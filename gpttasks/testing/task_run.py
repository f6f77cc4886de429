"""A task in a run: rows written to files as data, and the answers from the run's folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..component import Component
from ..example import Example, prompt_text
from ..tasks.task import Task
from .partners import SizeEncoder
from .tiny import Tiny
from .trial_run import ONE_STEP, TrialRun, answers_differ, folder_differences, trial, use

# The head for examples with these fields, and a metric for its answers; the first match is taken.
_HEADS: tuple[tuple[frozenset[str], dict[str, Any], str], ...] = (
    (frozenset({"choices", "label", "target"}), {"use": "choice"}, "accuracy"),
    (frozenset({"choices", "label"}), {"use": "choice"}, "accuracy"),
    (frozenset({"target"}), {"use": "generate", "max_tokens": 4}, "distinct"),
    (frozenset(), {"use": "lm"}, "perplexity"),
)


def task_round_trip(
    task: Task, rows: Sequence[Mapping[str, Any]], examples: Sequence[Example], *, by_row: bool
) -> Iterator[str]:
    """Messages where a run on the rows, or another run on its folder, differs from the examples."""
    if not examples:
        return
    fields = frozenset.intersection(*(example.fields for example in examples))
    head, metric = next((head, metric) for needs, head, metric in _HEADS if needs <= fields)
    has_media = any(part.kind == "media" for example in examples for part in example.prompt)
    if has_media and metric == "perplexity":
        return  # a prompt with media has no likelihood
    parts: tuple[type[Component], ...] = (Tiny, type(task), SizeEncoder)
    keys: dict[str, Any] = {"backbone": {"use": Tiny.name}, "head": head, "score": {"metrics": [metric]}}
    if has_media:
        keys |= {"encoder": {"use": SizeEncoder.name}, "adapt": {"use": "head-only"}, "train": ONE_STEP}
    with tempfile.TemporaryDirectory(prefix="gpttasks-rows-") as folder:
        data: dict[str, Any] = {}
        if not task.own_data:
            for split in ("train", "test"):
                _write(rows, Path(folder) / split)
            data = {"data": {"path": folder}}
        with trial(parts, keys | {"task": use(task) | data}) as run:
            if not task.own_data:
                yield from _example_differences(run, examples)
            yield from folder_differences(run)
            if by_row and not task.own_data:
                yield from _prediction_differences(run, rows, task.answer_columns)


def _write(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write JSON Lines, or Parquet if rows hold what JSON does not have, such as bytes."""
    try:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except TypeError:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file.with_suffix(".parquet"))
    else:
        file.with_suffix(".jsonl").write_text(lines, "utf-8")


def _example_differences(run: TrialRun, examples: Sequence[Example]) -> Iterator[str]:
    expected = sorted((prompt_text(one.prompt), one.gold_text or "", one.choices) for one in examples)
    actual = sorted((one.input, one.right or "", one.choices) for one in run.samples)
    for one, other in zip(expected, actual, strict=False):
        if one != other:
            yield f"got the example {other} in a run on a file of the rows, expected {one}"
            return
    if len(expected) != len(actual):
        yield f"got {len(actual)} examples in a run on a file of the rows, expected {len(expected)}"


def _prediction_differences(run: TrialRun, rows: Sequence[Mapping[str, Any]], answers: frozenset[str]) -> Iterator[str]:
    bare = [{column: value for column, value in row.items() if column not in answers} for row in rows]
    difference = answers_differ(run.answers, run.predicted(bare))
    if difference is not None:
        yield f"got {difference} in a run and predicted from rows without {sorted(answers)}, expected the same"
