"""The page: everything read from the run, put into the templates."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import words
from .classes import read_calibration, read_confusion
from .samples import COLUMNS, SampleSet, read_samples, view
from .scores import score_rows
from .training import read_training

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_ELSEWHERE = frozenset(("schema", "state", "name", "scores", "samples", "training", "warnings", "error"))
COUNTS = {
    "truncated": "scored examples were longer than the context and were cut at their passage",
    "train_truncated": "training examples were longer than the context and were cut at their passage",
    "skipped": "rows of the data could not be used and were skipped",
    "shots_dropped": "shots did not fit into the context and were left out",
    "near_ties": "answers were near ties: a margin within what batching may move",
}


def render_report(
    run: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    *,
    recipe: str = "",
) -> str:
    """One self-contained HTML page about a run: no file, font, image or script from elsewhere, and none can be loaded.

    ``run`` is the content of ``run.json``, ``samples`` the rows of ``samples.parquet``, ``events`` the lines of
    ``events.jsonl``, ``recipe`` the text of ``recipe.yaml``. What is missing or null in them shows as a dash with the
    reason. All texts are escaped; control characters and lone surrogates are replaced by visible characters.
    """
    found = read_samples(samples)
    page = _environment().get_template("page.html.jinja")
    return page.render(
        run=run,
        name=words.as_text(run.get("name")) or "run",
        state=words.as_text(run.get("state")) or "state unknown",
        error=words.as_text(run.get("error")),
        warnings=[words.as_text(warning) for warning in words.as_list(run.get("warnings"))],
        counts=_counts(run.get("samples")),
        summary=_summary(run, found, recipe),
        scores=score_rows(run.get("scores")),
        training=read_training(run.get("training"), events),
        confusion=read_confusion(found),
        calibration=read_calibration(found),
        samples=found,
        columns=COLUMNS[found.kind],
        view=lambda sample: view(sample, found.kind),
        record=_record(run),
        recipe=recipe,
        style=_asset("style.css"),
        style_digest=_digest("style.css"),
        script=_asset("page.js"),
        script_digest=_digest("page.js"),
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        """Nothing reaches the page that HTML forbids: every expression in the templates passes here, then is escaped."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return words.DASH
        return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=words.number, probability=words.probability, percent=words.percent)
    return environment


def _asset(name: str) -> Any:
    """A file of ours that goes into the page as it is."""
    from markupsafe import Markup

    return Markup((TEMPLATES / name).read_text("utf-8"))  # noqa: S704 - our own file, without data


def _digest(name: str) -> Any:
    """What the Content-Security-Policy calls the one script, or the one style, that the page may use."""
    from markupsafe import Markup

    digest = base64.b64encode(hashlib.sha256((TEMPLATES / name).read_text("utf-8").encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")  # noqa: S704


def _summary(run: Mapping[str, Any], found: SampleSet, recipe: str) -> list[tuple[str, str]]:
    """The facts that open the page, as (name, text); an empty text is one that is not known."""
    used = _names_used(recipe)
    samples, machine = words.as_mapping(run.get("samples")), words.as_mapping(run.get("machine"))
    backbone = run.get("backbone")
    scored = words.as_number(samples.get("test")) or len(found.samples)
    return [
        ("backbone", words.as_text(words.as_mapping(backbone).get("name") if isinstance(backbone, Mapping) else backbone) or used["backbone"]),
        ("adaptation", used["adapt"]),
        ("head", used["head"]),
        ("task", used["task"]),
        ("train", words.number(samples["train"]) if words.as_number(samples.get("train")) else ""),
        ("scored", words.number(scored) if scored else ""),
        ("time", _known(words.duration(_seconds(run.get("time"))))),
        ("memory", _known(_memory(run.get("memory")))),
        ("device", words.as_text(machine.get("device"))),
        ("precision", words.as_text(machine.get("precision"))),
        ("seed", words.as_text(run.get("seed"))),
        ("started", words.as_text(run.get("started"))),
        ("folder", words.as_text(run.get("folder"))),
        ("digest", words.as_text(run.get("digest"))),
    ]


def _known(text: str) -> str:
    return "" if text == words.DASH else text
