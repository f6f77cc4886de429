"""How long a person waits: for ``--help``, for ``check``, and for the first training step of ``run``.

    python benchmarks/startup.py

Medians of several whole processes. The first training step is timed from the start of the process to the first line
of the run's training log.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds_of(command: list[str]) -> float:
    """The wall time of a command."""
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def seconds_to_first_step(command: list[str], folder: Path) -> float:
    """The wall time until the run in ``folder`` has logged a step; the run is stopped then."""
    start = time.monotonic()
    process = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events = folder / "events.jsonl"
    while not (events.exists() and events.stat().st_size):
        if process.poll() not in (None, 0):
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode} before its first step")
        time.sleep(0.02)
    took = time.monotonic() - start
    process.kill()
    process.wait()
    return took


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args()
    program = str(Path(sys.executable).with_name("gpttasks"))
    results: dict[str, list[float]] = {
        "gpttasks --help": [],
        "gpttasks check imdb-lora": [],
        "first step of gpttasks run quickstart": [],
    }
    for _ in range(arguments.repeats):
        results["gpttasks --help"].append(seconds_of([program, "--help"]))
        results["gpttasks check imdb-lora"].append(seconds_of([program, "check", "imdb-lora"]))
        scratch = Path(tempfile.mkdtemp())
        results["first step of gpttasks run quickstart"].append(
            seconds_to_first_step([program, "run", "quickstart"], scratch / "run")
        )
        shutil.rmtree(scratch)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    for name, seconds in results.items():
        print(f"{name:40} median {statistics.median(seconds):6.2f} s   (from {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
