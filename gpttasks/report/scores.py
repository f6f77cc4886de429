"""The score table: values, intervals on their scales, and the fields of signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..metrics.signature import keys_by_measure, parse_signature
from ..records.sections import answers_to_note
from .charts import IntervalBar, interval_bar
from .words import as_list, as_mapping, as_number, as_text, fixed, interval_decimals, number, percent

Signature = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ScoreRow:
    """One score, as texts to show; ``bar`` is None without a value."""

    key: str
    value: str
    interval: str
    level: str
    method: str
    bar: IntervalBar | None
    n: str
    answers: str
    groups: str
    direction: str
    split: str
    reason: str
    measure: Signature
    way: Signature


def score_rows(scores: Any, samples: Any = None) -> list[ScoreRow]:
    """The rows of the table, from ``scores`` and ``samples`` of ``run.json``; baselines after their metric.

    Rows of the model's scores say how many answers are ties, empty or unfinished.
    """
    noted = answers_to_note(as_mapping(samples))
    by_key = {str(key): as_mapping(score) for key, score in as_mapping(scores).items()}
    keys = keys_by_measure({key: as_text(score.get("measure")) for key, score in by_key.items()})
    return [_score_row(key, by_key[key], noted) for key in keys]


def _score_row(key: str, score: Mapping[str, Any], noted: str) -> ScoreRow:
    value, low, high = (as_number(score.get(name)) for name in ("value", "low", "high"))
    decimals = interval_decimals(low, high)
    scale = [as_number(end) for end in as_list(score.get("scale"))]
    return ScoreRow(
        key=key,
        value=fixed(value, decimals),
        interval=f"{fixed(low, decimals)} to {fixed(high, decimals)}" if low is not None and high is not None else "",
        level=percent(score.get("level")),
        method=_method(as_text(score.get("method"))),
        bar=interval_bar(value, low, high, scale) if value is not None else None,
        n=number(score.get("n")),
        answers="" if as_text(score.get("way")).startswith("baseline:") else noted,
        groups=number(score["groups"]) if score.get("groups") is not None else "",
        direction=_direction(score.get("higher_is_better")),
        split=as_text(score.get("split")),
        reason=as_text(score.get("reason")) or ("" if value is not None else "no reason was recorded"),
        measure=_signature(score.get("measure")),
        way=_signature(score.get("way")),
    )


METHODS = {
    "wilson": "Wilson",
    "t": "t",
    "bca": "BCa",
    "percentile": "percentiles",
    "bins": "Wilson by bin",
    "none": "",
}
"""How the report calls the methods of intervals."""


def _method(name: str) -> str:
    """``Wilson``, ``BCa over groups``; an empty text without an interval."""
    method, _, over = name.partition("-")
    shown = METHODS.get(method, method)
    return f"{shown} over groups" if over else shown


def _direction(higher_is_better: Any) -> str:
    if not isinstance(higher_is_better, bool):
        return ""
    return "higher is better" if higher_is_better else "lower is better"


def _signature(text: Any) -> Signature:
    """The fields of a signature; a text that cannot be parsed is one field."""
    if not isinstance(text, str) or not text:
        return ()
    try:
        return tuple(parse_signature(text).items())
    except UserError:
        return (("signature", text),)
