"""The first and the last part of the report: the run in brief, what was cut, and the rest of the record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .words import DASH, as_mapping, as_number, as_text, duration, number, size

SHOWN_ELSEWHERE = frozenset(("schema", "state", "name", "scores", "samples", "training", "warnings", "error"))
COUNTS = {
    "truncated": "scored examples were longer than the context and were cut at their passage",
    "truncated_at_start": "of these scored examples were cut at the start of a passage, whose end is kept",
    "train_truncated": "training examples were longer than the context and were cut at their passage",
    "train_truncated_at_start": "of these training examples were cut at the start of a passage, whose end is kept",
    "skipped": "rows of the data could not be used and were skipped",
    "shots_dropped": "shots did not fit into the context and were left out",
    "ties": "answers were ties: the model found the best options equally likely",
    "empty": "answers were empty",
    "near_ties": "answers were near ties, their margin within what batching may move",
}
STAGES = ("preparing", "training", "tuning", "scoring")


@dataclass(frozen=True)
class Summary:
    """A run in brief; each field is text, empty if unknown."""

    backbone: str
    adaptation: str
    head: str
    task: str
    trained_on: str
    scored_on: str
    split: str
    time: str
    stages: str
    memory: str
    facts: list[tuple[str, str]]


def read_summary(run: Mapping[str, Any], scored: int, recipe: str) -> Summary:
    """The summary, from ``run.json``, the number of scored samples, and the text of ``recipe.yaml``."""
    used = read_recipe(recipe)
    samples, machine, time = (as_mapping(run.get(key)) for key in ("samples", "machine", "time"))
    facts = [
        ("Started", as_text(run.get("started"))),
        (
            "Machine",
            ", ".join(as_text(machine.get(key)) for key in ("device", "precision", "system") if machine.get(key)),
        ),
        ("Seed", as_text(run.get("seed"))),
        ("Data seed", as_text(run.get("data_seed"))),
        ("Folder", as_text(run.get("folder"))),
        ("Digest", as_text(run.get("digest"))),
    ]
    return Summary(
        backbone=_backbone(run.get("backbone")) or _use(used.get("backbone")),
        adaptation=_use(used.get("adapt")),
        head=_use(used.get("head")),
        task=_use(used.get("task")),
        trained_on=_trained_on(as_mapping(run.get("training")), as_number(samples.get("train"))),
        scored_on=number(scored) if scored else "",
        split=as_text(as_mapping(used.get("score")).get("split")),
        time=_known(duration(time.get("seconds", run.get("time")))),
        stages=", ".join(
            f"{stage} {duration(time[stage])}" for stage in STAGES if as_number(time.get(stage)) is not None
        ),
        memory=_memory(run.get("memory")),
        facts=[(name, text) for name, text in facts if text],
    )


def _trained_on(training: Mapping[str, Any], available: float | None) -> str:
    """``21 of 29,000 available examples``, ``360 examples``; empty where nothing was trained."""
    if not training or not available:
        return ""
    seen, available = as_number(training.get("examples_seen")), as_number(training.get("examples")) or available
    if seen is None:  # a record of a version that did not count them
        return f"some of {number(available)} available examples"
    if seen < available:
        return f"{number(seen)} of {number(available)} available examples"
    return f"{number(available)} examples"


def read_recipe(text: str) -> Mapping[str, Any]:
    """The keys of a recipe; empty if it is not a YAML mapping; the page shows its text all the same."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return as_mapping(YAML(typ="safe", pure=True).load(text))
    except (YAMLError, ValueError):
        return {}


def _use(value: Any) -> str:
    """The name in ``NAME`` or ``{use: NAME, …}``, with the path of a backbone that has one."""
    options = as_mapping(value)
    if not options:
        return as_text(value) if isinstance(value, str) else ""
    return " ".join(as_text(options[key]) for key in ("use", "path") if isinstance(options.get(key), str))


def _backbone(value: Any) -> str:
    record = as_mapping(value)
    return _use({"use": record.get("name"), **as_mapping(record.get("options"))} if record else value)


def _known(text: str) -> str:
    return "" if text == DASH else text


def _memory(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _known(size(value))
    words = {"process": "", "device": " on the device"}
    return ", ".join(
        f"{size(value[key])}{where}" for key, where in words.items() if as_number(value.get(key)) is not None
    )


def read_counts(samples: Any) -> list[tuple[str, str]] | None:
    """What was cut, skipped or left out, as (count, description) for counts above 0; None if nothing was counted."""
    counted = {key: as_number(as_mapping(samples).get(key)) for key in COUNTS}
    if all(count is None for count in counted.values()):
        return None
    return [(number(count), COUNTS[key]) for key, count in counted.items() if count]


@dataclass(frozen=True)
class Record:
    """A key of ``run.json``: ``pairs`` if it is a flat mapping, else its JSON as ``text``."""

    key: str
    pairs: list[tuple[str, str]]
    text: str


def read_record(run: Mapping[str, Any]) -> list[Record]:
    """The keys that no other part of the page shows."""
    return [_record(str(key), value) for key, value in run.items() if key not in SHOWN_ELSEWHERE]


def _record(key: str, value: Any) -> Record:
    if (
        isinstance(value, Mapping)
        and value
        and not any(isinstance(inner, (Mapping, list, tuple)) for inner in value.values())
    ):
        return Record(key, [(str(name), _scalar(inner)) for name, inner in value.items()], "")
    if isinstance(value, (Mapping, list, tuple)) and value:
        return Record(key, [], json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))
    return Record(key, [], _scalar(value))


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else DASH
    return DASH if value is None or value in ("", [], {}) else str(value)


def _finite(value: Any) -> Any:
    """The value with None in place of numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
