"""The last stage: samples, report and record, and the folder's way from resumable to finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..files import atomic_file
from ..hashing import file_digest
from ..records.environment import peak_memory_bytes
from ..records.folder import CHECKPOINTS, DATA_DIGESTS, LOCK, RECIPE, RECORD, REPLIES, REPORT, SAMPLES
from ..report import render_report
from .answering import Answered
from .job import Job
from .parts import PreparedRun
from .score import Scored


def finish(job: Job, prepared: PreparedRun, scored: Scored) -> None:
    """Write ``samples.parquet``, ``report.html`` and, as the last thing, the finished ``run.json``."""
    rows = sample_rows(prepared, scored)
    write_samples(job.folder / SAMPLES, rows)
    job.record["memory"] = peak_memory_bytes(prepared.device)
    job.now("finished")
    recipe = (job.folder / RECIPE).read_text("utf-8")
    job.folder.write_text(REPORT, render_report(job.record, rows, job.folder.events(), recipe=recipe))
    for name in (DATA_DIGESTS, REPLIES):
        (job.folder / name).unlink(missing_ok=True)
    job.record["files"] = file_digests(job.folder.path)
    job.save("finished")
    shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)


def sample_rows(prepared: PreparedRun, scored: Scored) -> list[dict[str, Any]]:
    """One row an example, with the columns of ``samples.parquet``."""
    rows = []
    for index, one in enumerate(scored.answered):
        row = _sample_row(one) | {"set": prepared.recipe.score.split}
        for key, statistics in scored.statistics.items():
            row[f"stats_{key}"] = statistics[index].tolist()
        rows.append(row)
    return rows


def _sample_row(one: Answered) -> dict[str, Any]:
    from ..example import prompt_text

    example, answer = one.example, one.answer
    return {
        "set": "",
        "id": example.id,
        "group": example.group,
        "input_digest": example.input_digest,
        "input": prompt_text(example.prompt),
        "answer": json.dumps(one.stored, allow_nan=False),
        "text": answer.text,
        "references": list(example.references),
        "choices": list(example.choices),
        "scores": list(answer.scores),
        "target": example.gold_text,
        "truncated": one.cut_tokens,
        "shots": one.shots,
        "detail": json.dumps(dict(answer.detail), allow_nan=False),
    }


def write_samples(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows as Parquet, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, texts, numbers = pa.string(), pa.list_(pa.string()), pa.list_(pa.float64())
    types = dict.fromkeys(("set", "id", "group", "input_digest", "input", "answer", "text", "target", "detail"), text)
    types |= {"references": texts, "choices": texts, "scores": numbers, "truncated": pa.int64(), "shots": pa.int64()}
    types |= {name: numbers for name in rows[0] if name.startswith("stats_")}
    with atomic_file(file) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([(name, types[name]) for name in rows[0]])), aside)


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that stays in a finished run, by path relative to it, but ``run.json`` itself."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in (RECORD, LOCK) and not name.startswith((f"{CHECKPOINTS}/", "trackers/")):
            found[name] = file_digest(file)
    return found
