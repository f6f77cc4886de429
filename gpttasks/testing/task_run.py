"""A task in a run: rows written down as data, and what comes back from the run's folder."""

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
from .trial_run import ONE_STEP, TrialRun, answers_differ, not_given_back, trial, use

# Which head may ask about examples with some fields, and a metric for its answers; the first one that fits is taken.
_HEADS: tuple[tuple[frozenset[str], dict[str, Any], str], ...] = (
    (frozenset({"choices", "label", "target"}), {"use": "choice"}, "accuracy"),
    (frozenset({"choices", "label"}), {"use": "choice"}, "accuracy"),
    (frozenset({"target"}), {"use": "generate", "max_tokens": 4}, "distinct"),
    (frozenset(), {"use": "lm"}, "perplexity"),
)


def task_round_trip(
    task: Task, rows: Sequence[Mapping[str, Any]], examples: Sequence[Example], *, by_row: bool
) -> Iterator[str]:
    """What a run on the rows, or another one on its folder, has otherwise than the examples say."""
    if not examples:
        return
    fields = frozenset.intersection(*(example.fields for example in examples))
    head, metric = next((head, metric) for needs, head, metric in _HEADS if needs <= fields)
    hears = any(part.kind == "media" for example in examples for part in example.prompt)
    if hears and metric == "perplexity":
        return  # the likelihood of a text that is none
    parts: tuple[type[Component], ...] = (Tiny, type(task), SizeEncoder)
    keys: dict[str, Any] = {"backbone": {"use": Tiny.name}, "head": head, "score": {"metrics": [metric]}}
    if hears:
        keys |= {"encoder": {"use": SizeEncoder.name}, "adapt": {"use": "head-only"}, "train": ONE_STEP}
    with tempfile.TemporaryDirectory(prefix="gpttasks-rows-") as folder:
        data: dict[str, Any] = {}
        if not task.own_data:
            for split in ("train", "test"):
                _write(rows, Path(folder) / split)
            data = {"data": {"path": folder}}
        with trial(parts, keys | {"task": use(task) | data}) as run:
            if not task.own_data:
                yield from _other_examples(run, examples)
            yield from not_given_back(run)
            if by_row and not task.own_data:
                yield from _predicted_otherwise(run, rows, task.answer_columns)


def _write(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """As JSON Lines, or as Parquet where rows hold what JSON does not have, such as bytes."""
    try:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except TypeError:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file.with_suffix(".parquet"))
    else:
        file.with_suffix(".jsonl").write_text(lines, "utf-8")


def _other_examples(run: TrialRun, examples: Sequence[Example]) -> Iterator[str]:
    expected = sorted((prompt_text(one.prompt), one.gold_text or "", one.choices) for one in examples)
    found = sorted((one.input, one.right or "", one.choices) for one in run.samples)
    for one, other in zip(expected, found, strict=False):
        if one != other:
            yield f"got the example {other} in a run on a file of the rows, expected {one}"
            return
    if len(expected) != len(found):
        yield f"got {len(found)} examples in a run on a file of the rows, expected {len(expected)}"


def _predicted_otherwise(run: TrialRun, rows: Sequence[Mapping[str, Any]], answers: frozenset[str]) -> Iterator[str]:
    bare = [{column: value for column, value in row.items() if column not in answers} for row in rows]
    found = answers_differ(run.answers, run.predicted(bare))
    if found is not None:
        yield f"got {found} predicted from rows without {sorted(answers)}, expected the same as in the run"
