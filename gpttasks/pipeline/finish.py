"""The last stage: the samples, the report and the finished record. From here on the run folder is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..example import json_mapping
from ..hashing import file_digest
from ..records.environment import peak_memory_bytes
from ..records.folder import CHECKPOINTS, DATA_DIGESTS, LOCK, RECIPE, REPLIES, REPORT
from ..records.run import RECORD, SAMPLES
from ..records.samples import Sample, sample_of, write_samples
from ..report import render_report
from .job import Job
from .parts import PreparedRun
from .score import Scored


def finish(job: Job, prepared: PreparedRun, scored: Scored) -> None:
    """Write ``samples.parquet``, ``report.html`` and, as the last thing, the finished ``run.json``."""
    samples = samples_of(prepared, scored)
    write_samples(job.folder / SAMPLES, samples)
    job.record.memory = peak_memory_bytes(prepared.device)
    scores = job.record.as_json()["scores"]
    job.record.hooks = job.collect("gpttasks_add_to_record", _record_values, scores=scores)
    sections = job.collect("gpttasks_add_to_report", _report_text, scores=scores)
    job.update("finished")
    recipe = (job.folder / RECIPE).read_text("utf-8")
    page = render_report(job.record.as_json(), samples, job.folder.events(), recipe=recipe, plugin_sections=sections)
    job.folder.write_text(REPORT, page)
    for name in (DATA_DIGESTS, REPLIES):
        (job.folder / name).unlink(missing_ok=True)
    job.record.files = file_digests(job.folder.path)
    job.save("finished")
    shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)


def samples_of(prepared: PreparedRun, scored: Scored) -> list[Sample]:
    """One sample for each scored example, in their order."""
    metrics = {key: metric for key, metric in prepared.metrics.items() if key not in prepared.baselines}
    shots = prepared.recipe.score.shots
    samples = []
    for index, one in enumerate(scored.answered):
        texts = {key: metric.text_read(one.answer) for key, metric in metrics.items()}
        drawn = prepared.shots.draw(one.example, shots) if prepared.shots is not None else []
        samples.append(
            sample_of(
                one.example,
                one.answer,
                answer_value=one.stored,
                set=prepared.recipe.score.split,
                shot_ids=[shot.id for shot in drawn[one.cut_shots :]],  # the first ones are dropped first
                truncated=one.cut_tokens,
                texts={key: text for key, text in texts.items() if text is not None and text != one.answer.text},
                statistics={key: rows[index].tolist() for key, rows in scored.statistics.items()},
            )
        )
    return samples


def _record_values(value: Any) -> dict[str, Any]:
    """What a plugin adds to the record. Raises TypeError for anything but a mapping of JSON values."""
    return json_mapping("what it returned", value)


def _report_text(value: Any) -> str:
    """What a plugin adds to the report. Raises TypeError for anything but text."""
    if not isinstance(value, str):
        raise TypeError(f"got {value!r}, expected a text")
    return value


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that stays in a finished run except ``run.json``, by path relative to the folder."""
    digests = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in (RECORD, LOCK) and not name.startswith((f"{CHECKPOINTS}/", "trackers/")):
            digests[name] = file_digest(file)
    return digests
