"""The waiting time for ``--help``, for ``check``, and for the first training step of ``run``.

    python benchmarks/startup.py
    python benchmarks/startup.py --imdb DATA/imdb     # also with 25,000 reviews

Prints medians of several whole processes. The first training step is timed from the start of the process to the first
line of the training log.
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
    """The wall time until the run in ``folder`` has logged a step; then the run is stopped."""
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
    parser.add_argument("--imdb", type=Path, help="a folder with IMDb's train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args()
    program = str(Path(sys.executable).with_name("gpttasks"))
    whole = {"gpttasks --help": ["--help"], "gpttasks check imdb-lora": ["check", "imdb-lora"]}
    runs = {"first step of gpttasks run quickstart": ["run", "quickstart"]}
    if arguments.imdb:
        imdb = ["run", "imdb-lora", "backbone=nano", f"task.data.path={arguments.imdb}"]
        runs |= {"... run imdb-lora backbone=nano train.limit=2000": [*imdb, "train.limit=2000"]}
        runs |= {"... run imdb-lora backbone=nano, all 25,000": imdb}
    results: dict[str, list[float]] = {name: [] for name in (*whole, *runs)}
    for _ in range(arguments.repeats):
        for name, command in whole.items():
            results[name].append(seconds_of([program, *command]))
        for name, command in runs.items():
            scratch = Path(tempfile.mkdtemp())
            results[name].append(seconds_to_first_step([program, *command], scratch / "run"))
            shutil.rmtree(scratch)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    for name, seconds in results.items():
        print(f"{name:48} median {statistics.median(seconds):6.2f} s   (from {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
