"""The last stage: the samples, the report and the finished record. From here on the run folder is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..example import json_mapping
from ..files import flush_all, is_unfinished
from ..hashing import file_digest
from ..metrics.extraction import text_read
from ..metrics.verdict import right_by
from ..records.environment import peak_memory_bytes
from ..records.events import EVENTS
from ..records.folder import ADAPTER, CHECKPOINTS, DATA_DIGESTS, HEAD, MODEL, RECIPE, REPLIES, REPORT
from ..records.run import SAMPLES
from ..records.samples import Sample, sample_of, write_samples
from ..report import Judged, render_report
from .active_run import ActiveRun
from .parts import PreparedRun
from .score import Scored


def finish(run: ActiveRun, prepared: PreparedRun, scored: Scored) -> None:
    """Write ``samples.parquet``, ``report.html`` and, last of all, the finished ``run.json``."""
    samples = samples_of(prepared, scored)
    write_samples(run.folder / SAMPLES, samples)
    run.record.memory = peak_memory_bytes(prepared.device)
    scores = run.record.as_json()["scores"]
    run.record.hooks = run.collect("gpttasks_add_to_record", _record_values, scores=scores)
    sections = run.collect("gpttasks_add_to_report", _report_text, scores=scores)
    run.update("finished")
    recipe = (run.folder / RECIPE).read_text("utf-8")
    page = render_report(
        run.record.as_json(),
        samples,
        run.folder.events(),
        recipe=recipe,
        plugin_sections=sections,
        judged=judged_by_first_metric(prepared, scored),
    )
    run.folder.write_text(REPORT, page)
    for name in (DATA_DIGESTS, REPLIES, f"{REPLIES}-wal", f"{REPLIES}-shm"):
        (run.folder / name).unlink(missing_ok=True)
    flush_all(run.folder.path)  # also the log, which was appended to: a finished run.json vouches for all files
    run.record.files = file_digests(run.folder.path)
    run.save("finished")
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)


def judged_by_first_metric(prepared: PreparedRun, scored: Scored) -> Judged | None:
    """What is right by the recipe's first metric of the model's answers; None if the recipe has only baselines."""
    key = next((key for key in prepared.metrics if key not in prepared.baselines), None)
    if key is None:
        return None
    examples, answers = [one.example for one in scored.answered], [one.answer for one in scored.answered]
    kind = prepared.head.answer_kind
    return Judged(key, right_by(prepared.metrics[key], kind, examples, answers, scored.statistics[key]))


def samples_of(prepared: PreparedRun, scored: Scored) -> list[Sample]:
    """One sample for each scored example, in the same order."""
    metrics = {key: metric for key, metric in prepared.metrics.items() if key not in prepared.baselines}
    shots = prepared.recipe.score.shots
    samples = []
    for index, one in enumerate(scored.answered):
        read = {} if one.answer.is_missing else metrics
        texts = {key: text_read(metric, one.answer) for key, metric in read.items()}
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
    """The SHA-256 of every file that stays in a finished run except ``run.json``, by path relative to the folder.

    What is not a run's, such as somebody's notes, is left out.
    """
    own = [file for name in (ADAPTER, MODEL, HEAD) for file in (folder / name).rglob("*")]
    files = [folder / name for name in (RECIPE, EVENTS, SAMPLES, REPORT)] + own
    names = sorted(file.relative_to(folder) for file in files if file.is_file())
    return {name.as_posix(): file_digest(folder / name) for name in names if not is_unfinished(name)}
