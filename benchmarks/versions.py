"""Compares two checkouts of gpttasks in alternating pairs: the time of scoring and of commands.

python benchmarks/versions.py --before CHECKOUT --data DATA [--cases hellaswag:0:40 ...] [--pairs 3]

Scores with the 124M GPT-2 shape and random weights, by each checkout's own benchmarks/scoring_sides.py, on one core:
CPU seconds from strings to numbers, medians and ranges over the pairs. Then ``import gpttasks``, ``gpttasks --help``,
``gpttasks check`` and ``gpttasks run quickstart`` as whole processes, the last one to its first optimiser step and to
its end. Prints one table and writes ``benchmarks/results/versions.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from result_files import RESULTS
from scoring_cases import case_documents, model_folder
from tables import SIDES, versions

HERE = Path(__file__).resolve().parents[1]
CASES = ("hellaswag:0:40", "hellaswag:5:20", "sst2:16:100")
COMMANDS = {
    "import gpttasks": ["-c", "import gpttasks"],
    "gpttasks --help": ["-m", "gpttasks", "--help"],
    "gpttasks check imdb-lora": ["-m", "gpttasks", "check", "imdb-lora"],
}


def processor() -> str:
    """The processor's model name and its instructions for half precision, as Linux gives them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in names.get("flags", "").split()]
    return f"{names.get('model name', 'unknown')} ({', '.join(flags)})"


def environment(checkout: Path) -> dict[str, str]:
    """Environment variables for importing a checkout's packages, for one thread and without a cache of replies."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    paths = os.pathsep.join(str(checkout / folder) for folder in (".", "plugins", "benchmarks"))
    return os.environ | threads | {"PYTHONPATH": paths, "GPTTASKS_CACHE": "off", "HF_HUB_OFFLINE": "1"}


def scoring(checkout: Path, requests: Path, model: Path) -> dict[str, Any]:
    """The answers of one checkout, and its CPU seconds."""
    script = checkout / "benchmarks" / "scoring_sides.py"
    command = [sys.executable, str(script), "gpttasks", str(requests), str(model), "--threads", "1", "--batches", "1"]
    process = subprocess.run(command, capture_output=True, text=True, env=environment(checkout), check=True)
    answers: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answers


def seconds(checkout: Path, arguments: list[str]) -> float:
    """The wall-clock seconds of a whole process."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, *arguments], env=environment(checkout), cwd=folder, check=True, capture_output=True
        )
    return time.perf_counter() - start


def quickstart(checkout: Path) -> tuple[float, float]:
    """The seconds from ``gpttasks run quickstart`` to its first optimiser step, and to its end."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        command = [sys.executable, "-m", "gpttasks", "run", "quickstart", "--out", "run"]
        process = subprocess.Popen(command, env=environment(checkout), cwd=folder, stderr=subprocess.DEVNULL)
        events = Path(folder, "run", "events.jsonl")
        first = 0.0
        while process.poll() is None:
            if not first and events.exists() and events.stat().st_size:
                first = time.time() - start
            time.sleep(0.02)
        return first, time.time() - start


def summary(before: list[float], after: list[float]) -> dict[str, Any]:
    """Medians, ranges, and the median and range of the ratio after / before, pair by pair."""
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    return {
        name: {"median": statistics.median(values), "low": min(values), "high": max(values), "values": values}
        for name, values in (("before", before), ("after", after), ("ratio", ratios))
    }


def alternating(sides: Mapping[str, Path], pairs: int, measure: Callable[[Path], Any]) -> dict[str, list[Any]]:
    """What ``measure`` gives for each side, in pairs that take turns at being first."""
    results: dict[str, list[Any]] = {side: [] for side in SIDES}
    for pair in range(pairs):
        for side in SIDES if pair % 2 == 0 else reversed(SIDES):
            results[side].append(measure(sides[side]))
    return results


def scoring_rows(sides: Mapping[str, Path], arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """CPU seconds of each case, and the largest difference between the two sides' log-probabilities."""
    with tempfile.TemporaryDirectory() as scratch:
        model = model_folder("gpt2-small", Path(scratch))
        for case in arguments.cases:
            requests = Path(scratch) / "requests.json"
            requests.write_text(json.dumps(case_documents(case, arguments, model)))
            runs = alternating(sides, arguments.pairs, partial(scoring, requests=requests, model=model))
            row = summary(*([run["cpu_seconds"] for run in runs[side]] for side in SIDES))
            pairs = zip(*(runs[side][0]["values"] for side in SIDES), strict=True)
            yield case, row | {"largest_difference_nats": max(abs(old - new) for old, new in pairs)}


def main() -> None:
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the public data sets")
    parser.add_argument("--cases", nargs="*", default=CASES, help="NAME:SHOTS:DOCUMENTS")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    arguments.documents, arguments.fresh_shots = None, False
    sides = {"before": arguments.before.resolve(), "after": HERE}
    rows: dict[str, dict[str, Any]] = {}
    for case, row in scoring_rows(sides, arguments):
        rows[case] = row
        print(case, json.dumps({name: row[name]["median"] for name in (*SIDES, "ratio")}), file=sys.stderr, flush=True)
    for name, command in COMMANDS.items():
        times = alternating(sides, 2 * arguments.pairs + 1, partial(seconds, arguments=command))
        rows[name] = summary(*(times[side] for side in SIDES))
    starts = alternating(sides, arguments.pairs, quickstart)
    for place, name in enumerate(("quickstart: first step", "quickstart: end")):
        rows[name] = summary(*([start[place] for start in starts[side]] for side in SIDES))
    (RESULTS / "versions.json").write_text(
        json.dumps({"processor": processor(), "rows": rows}, indent=2) + "\n", "utf-8"
    )
    print(versions())


if __name__ == "__main__":
    main()
