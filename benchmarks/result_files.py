"""Reads ``benchmarks/results/*.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
TYPED_BY_HAND = ("recipes", "startup_quiet")


def read(name: str) -> Any:
    """The content of a results file.

    In files that were typed by hand, numbers are read as strings, so that they are printed with the same digits.
    """
    text = (RESULTS / f"{name}.json").read_text("utf-8")
    return json.loads(text, parse_float=str if name in TYPED_BY_HAND else float)
