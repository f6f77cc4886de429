"""What it costs that a run knows what it depends on.

    python benchmarks/identity.py

Prints the seconds to hash 1 GB of weights, the first time and again, and to show a finished run again. Writes JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import gpttasks
from gpttasks.remembered_digests import JUST_CHANGED, digests_of

RESULTS = Path(__file__).parent / "results" / "identity.json"
GIGABYTE = 10**9


def hashing(folder: Path) -> tuple[float, float]:
    """The seconds to hash a file of 1 GB for the first time, and the second."""
    file, block = folder / "model.safetensors", os.urandom(10**6)
    with open(file, "wb") as opened:
        for _ in range(GIGABYTE // len(block)):
            opened.write(block)
    time.sleep(JUST_CHANGED + 0.5)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        digests_of({"weights": file})
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def reusing(folder: Path) -> float:
    """The median of the seconds to show the finished run of quickstart again, in this process."""
    options = ("train.limit=64", "score.limit=40")
    gpttasks.run("quickstart", *options, out=folder / "run")
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert gpttasks.run("quickstart", *options, out=folder / "run").reused
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    """Measure, print and write the results."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["GPTTASKS_CACHE"] = f"{name}/cache"
        first, second = hashing(Path(name))
        found = {"hash 1 GB": first, "hash 1 GB again": second, "show a finished run again": reusing(Path(name))}
    for what, seconds in found.items():
        print(f"{what:28} {seconds:8.4f} s")
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
