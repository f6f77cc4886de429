"""The training part of the report: the loss curve, the validation scores, and both as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import Axis, Point, Tick, axis_for, downsample, linear_ticks, path, smooth
from .words import as_list, as_mapping, as_number, duration, number

WIDTH, HEIGHT = 640, 280
VALIDATION_WIDTH, VALIDATION_HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 12, 44
TABLE_ROWS = 50
FEWEST_TO_SMOOTH = 20


@dataclass(frozen=True)
class Curve:
    """A line chart in SVG units: ``raw`` and ``smoothed`` are paths, ``points`` are (x, y, label), ``marks``
    the positions of vertical lines.
    """

    title: str
    summary: str
    width: int
    height: int
    x: Axis
    y: Axis
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    raw: str
    smoothed: str
    window: int
    points: list[tuple[float, float, str]]
    marks: list[float]


@dataclass(frozen=True)
class Training:
    """What happened in training; ``steps`` are rows of text: step, loss, smoothed, rate, norm, tokens, time."""

    facts: list[tuple[str, str]]
    loss: Curve | None
    validations: list[Curve]
    steps: list[list[str]]
    all_steps: int
    metrics: list[str]
    validation_rows: list[list[str]]
    stopped_early: bool


def read_training(record: Any, events: Sequence[Mapping[str, Any]]) -> Training:
    """The training part, from the ``training`` of ``run.json`` and the lines of ``events.jsonl``."""
    training = as_mapping(record)
    steps = _by_step(events, "step")
    validations = _by_step(events, "validation")
    loss = [
        (float(step), value) for step, event in steps.items() if (value := as_number(event.get("loss"))) is not None
    ]
    window = max(5, len(loss) // 25 | 1)
    smoothed = smooth(loss, window) if len(loss) >= FEWEST_TO_SMOOTH else []
    metrics = list(dict.fromkeys(str(key) for event in validations.values() for key in as_mapping(event.get("scores"))))
    first, last = (loss[0][0], loss[-1][0]) if loss else (0.0, 0.0)
    span = [first, last, *map(float, validations)]
    best = as_number(training.get("best_step"))
    curves = [_validation_curve(metric, validations, _across(span, VALIDATION_WIDTH), best) for metric in metrics]
    return Training(
        facts=_facts(training),
        loss=_loss_curve(loss, smoothed, window, _across(span, WIDTH), list(validations)) if loss else None,
        validations=[curve for curve in curves if curve is not None],
        steps=_step_rows(steps, dict(smoothed)),
        all_steps=len(steps),
        metrics=metrics,
        validation_rows=[
            [number(step), *(number(as_mapping(event.get("scores")).get(metric)) for metric in metrics)]
            for step, event in validations.items()
        ],
        stopped_early=training.get("stopped_early") is True
        or any(event.get("event") == "early stop" for event in events),
    )


def _by_step(events: Sequence[Mapping[str, Any]], kind: str) -> dict[int, Mapping[str, Any]]:
    """The events of a kind in the order of their steps; if a step was done twice, the later event counts."""
    by_step = {}
    for event in events:
        step = as_number(event.get("step"))
        if event.get("event") == kind and step is not None:
            by_step[int(step)] = event
    return dict(sorted(by_step.items()))


def _facts(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds, tokens = as_number(training.get("seconds")), as_number(training.get("tokens"))
    speed = f" ({number(round(tokens / seconds))} per second)" if seconds and tokens else ""
    resumed = as_list(training.get("resumed_at"))
    facts = [
        ("Steps", number(training.get("steps", training.get("step")))),
        ("Examples seen", _of(training.get("examples_seen"), training.get("examples"))),
        ("Items seen", number(training.get("seen"))),
        ("Items in an epoch", number(training.get("items"))),
        ("Tokens", number(tokens) + speed),
        ("Time", duration(seconds)),
        ("Loss of the last step", number(training.get("loss"))),
        ("Trained parameters", number(training.get("trained_parameters"))),
        ("Best validation", _best(training)),
        ("Resumed at step", ", ".join(number(step) for step in resumed)),
    ]
    return [(name, text) for name, text in facts if text and text != number(None)]


def _of(part: Any, whole: Any) -> str:
    """``21 of 29,000``; empty where neither is known."""
    return f"{number(part)} of {number(whole)}" if as_number(part) is not None and as_number(whole) is not None else ""


def _best(training: Mapping[str, Any]) -> str:
    step, value = as_number(training.get("best_step")), as_number(training.get("best_value"))
    if step is None:
        return ""
    return f"step {number(step)}" + (f", {number(value)}" if value is not None else "")


def _across(steps: Sequence[float], width: int) -> Axis:
    low, high = min(steps), max(steps)
    return Axis(low, high if high > low else low + 1, LEFT, width - RIGHT)


def _step_ticks(across: Axis) -> list[Tick]:
    """Ticks at whole steps only."""
    steps = [step for step in linear_ticks(across.low, across.high, 6) if step == int(step)]
    return [Tick(across.place(step), number(step)) for step in steps]


def _loss_curve(loss: list[Point], smoothed: list[Point], window: int, across: Axis, validated: list[int]) -> Curve:
    up = axis_for([value for _, value in loss], HEIGHT - BOTTOM, TOP)
    lowest = min(loss, key=lambda point: point[1])
    summary = (
        f"{len(loss):,} steps; the loss goes from {number(loss[0][1])} to {number(loss[-1][1])}, "
        f"its lowest is {number(lowest[1])} at step {number(lowest[0])}"
    )
    few = (
        [(across.place(x), up.place(y), number(y)) for x, y in loss] if len(loss) < 3 else []
    )  # too few for a visible line
    return Curve(
        title="Training loss" + (" (logarithmic axis)" if up.log else ""),
        summary=summary,
        width=WIDTH,
        height=HEIGHT,
        x=across,
        y=up,
        x_ticks=_step_ticks(across),
        y_ticks=up.ticks(),
        raw=path(downsample(loss), across, up),
        smoothed=path(downsample(smoothed), across, up),
        window=window if smoothed else 0,
        points=few,
        marks=[across.place(step) for step in validated],
    )


def _validation_curve(
    metric: str, validations: Mapping[int, Mapping[str, Any]], across: Axis, best: float | None
) -> Curve | None:
    scores = [(step, as_number(as_mapping(event.get("scores")).get(metric))) for step, event in validations.items()]
    points = [(float(step), value) for step, value in scores if value is not None]
    if not points:
        return None
    up = axis_for([value for _, value in points], VALIDATION_HEIGHT - BOTTOM, TOP)
    labelled = {points[0][0], points[-1][0], best} if len(points) > 12 else {step for step, _ in points}
    return Curve(
        title=metric,
        summary=f"{len(points):,} validations; from {number(points[0][1])} to {number(points[-1][1])}",
        width=VALIDATION_WIDTH,
        height=VALIDATION_HEIGHT,
        x=across,
        y=up,
        x_ticks=_step_ticks(across),
        y_ticks=up.ticks(4),
        raw=path(downsample(points), across, up),
        smoothed="",
        window=0,
        points=[(across.place(x), up.place(y), number(y) if x in labelled else "") for x, y in downsample(points)],
        marks=[across.place(best)] if best is not None else [],
    )


def _step_rows(steps: Mapping[int, Mapping[str, Any]], smoothed: Mapping[float, float]) -> list[list[str]]:
    """About 50 rows, evenly spread, including the first and the last step."""
    numbers = list(steps)
    count = min(TABLE_ROWS, len(numbers))
    chosen = [numbers[round(index * (len(numbers) - 1) / max(1, count - 1))] for index in range(count)]
    return [
        [
            number(step),
            number(steps[step].get("loss")),
            number(smoothed.get(float(step))),
            number(steps[step].get("learning_rate")),
            number(steps[step].get("gradient_norm")),
            number(steps[step].get("tokens")),
            duration(steps[step].get("seconds")),
        ]
        for step in chosen
    ]
