"""The page: everything read from the run, put into the templates."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import words
from .classes import read_calibration, read_confusion
from .samples import COLUMNS, Judged, report_samples, view
from .scores import score_rows
from .shots import read_shots
from .summary import read_counts, read_record, read_summary
from .training import read_training

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from ..records.samples import Sample

TEMPLATES = Path(__file__).parent / "templates"


def render_report(
    run: Mapping[str, Any],
    samples: Sequence[Sample],
    events: Sequence[Mapping[str, Any]],
    *,
    recipe: str = "",
    plugin_sections: Mapping[str, str] | None = None,
    judged: Judged | None = None,
) -> str:
    """One self-contained HTML page about a run: no file, font, image or script from elsewhere, and none can be loaded.

    ``run`` is the content of ``run.json``, ``samples`` are those of ``samples.parquet``, ``events`` the lines of
    ``events.jsonl``, and ``recipe`` is the text of ``recipe.yaml``; ``plugin_sections`` are texts by the name of the
    plugin that adds them; ``judged`` says which answers are right, and without it texts are compared. What is missing
    or null in ``run`` shows as a dash with the reason. All texts are escaped; control characters and lone surrogates
    are replaced by visible characters.
    """
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            name=words.as_text(run.get("name")) or "run",
            state=words.as_text(run.get("state")) or "unknown",
            error=words.as_text(run.get("error")),
            warnings=[words.as_text(warning) for warning in words.as_list(run.get("warnings"))],
            counts=read_counts(run.get("samples")),
            summary=read_summary(run, len(samples), recipe),
            scores=score_rows(run.get("scores"), run.get("samples")),
            training=read_training(run.get("training"), events),
            shots=read_shots(run, samples),
            total=len(samples),
            **_read_samples(samples, judged),
            record=read_record(run),
            recipe=recipe,
            plugin_sections=list((plugin_sections or {}).items()),
            style=_asset("style.css"),
            style_digest=_digest("style.css"),
            script=_asset("page.js"),
            script_digest=_digest("page.js"),
        )
    )


def _read_samples(samples: Sequence[Sample], judged: Judged | None) -> dict[str, Any]:
    """What the templates show of the samples, by the names that they use."""
    read = report_samples(samples, judged)
    return {
        "confusion": read_confusion(read),
        "calibration": read_calibration(read),
        "kind": read.kind,
        "errors": read.errors,
        "judge": read.judge,
        "not_judged": read.not_judged,
        "columns": COLUMNS[read.kind],
        "first": [view(sample, read.kind) for sample in read.first],
        "worst": [view(sample, read.kind) for sample in read.worst],
    }


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        """Every expression in the templates passes here, then is escaped: nothing that HTML forbids gets through."""
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
    environment.filters.update(number=words.number, probability=words.probability)
    return environment


@cache
def _asset(name: str) -> Markup:
    """The style or the script: files of ours, without data, that go into the page as they are."""
    from markupsafe import Markup

    return Markup((TEMPLATES / name).read_text("utf-8"))


def _digest(name: str) -> Markup:
    """How the Content-Security-Policy names the one style and the one script that the page may use."""
    from markupsafe import Markup

    digest = hashlib.sha256(_asset(name).encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode()}'")
