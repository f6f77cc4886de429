"""The report of a run: one self-contained HTML page."""

from __future__ import annotations

from .page import render_report
from .samples import Judged

__all__ = ["Judged", "render_report"]
