"""A short version of the campaign of attacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AREAS = (
    "kills=6",
    "unfinished runs=6",
    "finished runs=8",
    "hostile=9",
    "recipes=60",
    "data files=60",
    "run folders=20",
)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_no_attack_succeeds(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "attack.py"), "--work", str(tmp_path / "work"), "--jobs", "1"]
    done = subprocess.run([*command, "--every", "60", "--areas", *AREAS], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line[:16].strip(): int(line[16:23].replace(",", "")) for line in done.stdout.splitlines()}
    assert set(counts) == {area.partition("=")[0] for area in AREAS}
    for area in AREAS:
        assert counts[area.partition("=")[0]] >= int(area.partition("=")[2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "attack.py"), "--work", str(tmp_path / "work")]
    first = subprocess.run([*command, "--areas", "recipes=4"], capture_output=True, text=True, timeout=300)
    (log,) = (tmp_path / "work").glob("recipes*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({**line, "verdict": "silent"}) + "\n" for line in lines[:2]))
    second = subprocess.run([*command, "--areas", "recipes=4"], capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stdout + first.stderr
    assert second.returncode == 1  # the two lines were believed, and two attacks were carried out
    assert second.stdout.count("SILENT: ") == 2
