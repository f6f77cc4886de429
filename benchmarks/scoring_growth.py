"""The growth of scoring time and memory with the number of documents, of shots, and of options.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/scoring_growth.py --data DATA --documents-shape MODELS/stories260K
    python benchmarks/scoring_growth.py --data DATA --series documents --documents-shape gpt2 --points 100
    python benchmarks/scoring_growth.py --data DATA --series shots --again

Series:

    documents   rows of hellaswag without shots, four endings each
    shots       the same rows of arc_easy after the first N of 25 fixed shots
    options     the same contexts of hellaswag; endings beyond a row's own four come from other rows

Each point is measured in a separate process, from strings to numbers, ``--repeats`` times with a new engine, or fewer
times if they take more than ``--repeat-limit`` CPU seconds together. The table gives medians. The plain engine, which
processes each request as one row, runs once if its CPU time, estimated from some of the documents, is below
``--plain-limit`` seconds; otherwise the table has the estimate in brackets.

CPU seconds are those of the process. Memory is the maximum resident memory in the first repeat, and the part of it
beyond the loaded model. ``power`` is the exponent of the growth in CPU seconds since the previous point, if that is
above 0: 1 is linear, and more is worse.

Points that are already in the results are measured again only with ``--again``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scoring_cases import SHAPES, Document, length_check, model_folder, rendered, rows_of, shot
from scoring_sides import Answering


@dataclass(frozen=True)
class Series:
    """The points of a series, and its number of documents unless the documents vary."""

    points: tuple[int, ...]
    documents: int


SERIES = {
    "documents": Series((100, 300, 1_000, 3_000, 10_000), 0),
    "shots": Series((0, 1, 2, 5, 10, 25), 50),
    "options": Series((2, 4, 6, 8), 100),
}
MOST_SHOTS = 25
POOL = 500
"""The number of rows of arc_easy from which shots are drawn; they are not scored."""
SAMPLE = 8
"""The number of documents from which the plain engine's time is estimated."""


def documents_of(series: str, point: int, count: int, data: Path, folder: Path) -> list[Document]:
    """The documents of a point: ``count`` of them, or ``point`` in the series ``documents``."""
    name = "arc_easy" if series == "shots" else "hellaswag"
    rows, _ = rows_of(data, name)
    random.Random(1).shuffle(rows)
    too_long = length_check(folder, "loglikelihood")
    if series == "documents":
        return many_documents(rows, point, too_long)
    if series == "options":
        return with_options(rows, point, max(SERIES["options"].points), count, too_long)
    pool, rows = rows[:POOL], rows[POOL:]
    shots = [shot(name, row) for row in random.Random(2).sample(pool, MOST_SHOTS)]
    fitting = (rendered(name, row)[:2] for row in rows)
    longest = "".join(shots)
    chosen = [one for one in fitting if not too_long(longest + one[0], one[1])][:count]
    before = "".join(shots[:point])
    return [(before + context, continuations) for context, continuations in chosen]


def many_documents(rows: Sequence[dict[str, Any]], count: int, too_long: Any) -> list[Document]:
    """``count`` different documents; if there are too few rows, they are repeated with a number in front."""
    documents: list[Document] = []
    seen: set[tuple[str, ...]] = set()
    pass_ = 1
    while len(documents) < count:
        before = "" if pass_ == 1 else f"{pass_}. "
        size = len(documents)
        for row in rows:
            context, endings, _ = rendered("hellaswag", row)
            key = (before + context, *endings)
            if key not in seen and not too_long(before + context, endings):
                seen.add(key)
                documents.append((before + context, endings))
            if len(documents) == count:
                break
        if len(documents) == size:
            raise ValueError("no row fits into the model's context")
        pass_ += 1
    return documents


def with_options(rows: Sequence[dict[str, Any]], options: int, most: int, count: int, too_long: Any) -> list[Document]:
    """``count`` contexts, the same for every number of options, with their own endings first and then others'."""
    documents: list[Document] = []
    others = (ending for row in reversed(rows) for ending in rendered("hellaswag", row)[1])
    for row in rows:
        context, endings, _ = rendered("hellaswag", row)
        while len(set(endings)) < most:
            endings = [*dict.fromkeys(endings), next(others)]
        if not too_long(context, endings):
            documents.append((context, endings[:options]))
        if len(documents) == count:
            break
    return documents


def worker(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The time and memory of one engine's runs on the documents of a file, or an estimate: see ``--plain-limit``."""
    import torch

    from gpttasks.allocator import keep_freed_memory
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
    from gpttasks.engine.plain import LocalEngine
    from gpttasks.engine.shared import SharedEngine
    from gpttasks.example import as_prompt
    from gpttasks.requests import LogLikelihood

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    backbone = HuggingFace(HuggingFaceOptions(path=str(arguments.folder)))
    backbone.load(LoadSettings())
    kind = {"plain": LocalEngine, "shared": SharedEngine}[arguments.worker]
    kind(backbone).answer([LogLikelihood(as_prompt("a"), " b")])  # the costs of a first call
    documents: list[Document] = json.loads(arguments.requests.read_text())

    def measured(some: Sequence[Document]) -> dict[str, Any]:
        requests = [
            LogLikelihood(as_prompt(text), after, tuple(endings)) for text, endings in some for after in endings
        ]
        engine = kind(backbone)
        with Answering() as answering:
            replies: list[Any] = engine.answer(requests)
        cut = sum(bool(reply.cut.tokens or reply.cut.shots) for reply in replies)
        return answering.numbers() | engine.work() | {"documents": len(some), "requests": len(requests), "cut": cut}

    if arguments.worker == "plain" and len(documents) > SAMPLE:
        some = documents[:: -(-len(documents) // SAMPLE)]
        estimate = measured(some)["cpu_seconds"] * len(documents) / len(some)
        if estimate > arguments.plain_limit:
            return [{"estimated_cpu_seconds": estimate}]
    runs = [measured(documents)]
    while arguments.worker == "shared" and len(runs) < arguments.repeats:
        spent = sum(run["cpu_seconds"] for run in runs)
        if spent * (1 + 1 / len(runs)) > arguments.repeat_limit:
            break
        runs.append(measured(documents))
    return runs


def run_worker(side: str, documents: Path, folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The result of a worker in a separate process. Raises RuntimeError with its output if it failed."""
    command = [sys.executable, __file__, "--worker", side, "--requests", str(documents), "--folder", str(folder)]
    command += ["--threads", str(arguments.threads), "--plain-limit", str(arguments.plain_limit)]
    command += ["--repeats", str(arguments.repeats), "--repeat-limit", str(arguments.repeat_limit)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(arguments.threads))
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads | quiet)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{process.stderr[-3000:]}")
    result: list[dict[str, Any]] = json.loads(process.stdout.splitlines()[-1])
    return result


def measure(series: str, point: int, shape: str, arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """One point: the runs of the shared engine, and one of the plain engine or its estimate."""
    folder = model_folder(shape, arguments.models)
    count = arguments.documents or SERIES[series].documents
    documents = documents_of(series, point, count, arguments.data, folder)
    file = scratch / "documents.json"
    file.write_text(json.dumps(documents))
    packages = ("gpttasks", "torch", "transformers", "tokenizers")
    return {
        "series": series,
        "point": point,
        "shape": Path(shape).name,
        "documents": len(documents),
        "threads": arguments.threads,
        "versions": {package: version(package) for package in packages},
        "shared": run_worker("shared", file, folder, arguments),
        "plain": run_worker("plain", file, folder, arguments)[0],
    }


def power(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    """The exponent of the growth in CPU seconds from one point to the next; empty for the first point and after 0."""
    if before is None or before["point"] == 0:
        return ""
    times = median_of(after, "cpu_seconds") / median_of(before, "cpu_seconds")
    return f"{math.log(times) / math.log(after['point'] / before['point']):.2f}"


def median_of(point: dict[str, Any], key: str) -> float:
    """The median of a number over the shared engine's runs."""
    value: float = statistics.median(run[key] for run in point["shared"])
    return value


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    print("Shared engine, unless it says plain. CPU s: seconds; range: of the repeats; (…): estimated.")
    print(
        f"{'':26} {'point':>6} {'docs':>6} {'asked':>6} {'CPU s':>8} {'(range)':>15} {'ms/doc':>8} {'power':>6}"
        f" {'tokens asked':>12} {'tokens read':>11} {'read/doc':>8} {'us/token':>8} {'peak MB':>7} {'+ MB':>6}"
        f" {'plain s':>9} {'times':>6} {'plain MB':>8}"
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in results.values():
        groups.setdefault(f"{point['shape']} {point['series']}", []).append(point)
    for name, points in groups.items():
        ordered = sorted(points, key=lambda point: point["point"])
        for before, point in zip([None, *ordered], ordered, strict=False):
            print(line(name, before, point))


def line(name: str, before: dict[str, Any] | None, point: dict[str, Any]) -> str:
    """A row of the table; ``before`` is the previous point of its series."""
    cpu, read = median_of(point, "cpu_seconds"), median_of(point, "tokens_read")
    first, plain, documents = point["shared"][0], point["plain"], point["documents"]
    peak, more = first["peak_memory"], first["peak_memory"] - first["memory_before"]
    all_cpu = [run["cpu_seconds"] for run in point["shared"]]
    slow = plain.get("cpu_seconds", plain.get("estimated_cpu_seconds"))
    slow_text = f"{slow:.1f}" if "cpu_seconds" in plain else f"({slow:.0f})"
    slow_memory = f"{plain['peak_memory'] / 1e6:.0f}" if "peak_memory" in plain else ""
    return (
        f"{name:26} {point['point']:6} {documents:6} {first['requests']:6} {cpu:8.2f}"
        f" {f'({min(all_cpu):.2f}–{max(all_cpu):.2f})':>15} {cpu / documents * 1e3:8.2f} {power(before, point):>6}"
        f" {first['tokens_asked']:12} {read:11.0f} {read / documents:8.1f} {cpu / read * 1e6:8.1f} {peak / 1e6:7.0f}"
        f" {more / 1e6:6.0f} {slow_text:>9} {slow / cpu:6.2f} {slow_memory:>8}"
    )


def arguments_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with hellaswag and arc_easy")
    parser.add_argument("--series", nargs="+", choices=tuple(SERIES), default=list(SERIES))
    parser.add_argument("--points", type=int, nargs="+", help="points instead of those of the series")
    parser.add_argument("--documents", type=int, help="documents in the shots and options series (default: 50, 100)")
    parser.add_argument(
        "--documents-shape",
        help="the model of the documents series: a shape, or a folder such as MODELS/stories260K",
    )
    parser.add_argument(
        "--shape", default="gpt2", help=f"the model of the other series: {', '.join(SHAPES)}, or a model's folder"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of the shared engine for each point")
    parser.add_argument(
        "--repeat-limit", type=float, default=60.0, help="the maximum CPU seconds of these runs together"
    )
    parser.add_argument("--plain-limit", type=float, default=60.0, help="the maximum seconds of the plain engine")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="measure points again that are in the results")
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_growth.json"))
    parser.add_argument("--worker", choices=("plain", "shared"), help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measure the requested points, add them to the results, and print all."""
    parser = arguments_parser()
    arguments = parser.parse_args()
    if arguments.worker:
        print("\n" + json.dumps(worker(arguments)))
        return
    if arguments.data is None:
        parser.error("--data is required")
    if "documents" in arguments.series and arguments.documents_shape is None:
        parser.error("--documents-shape is required for the documents series")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for series in arguments.series:
            shape = arguments.documents_shape if series == "documents" else arguments.shape
            for point in arguments.points or SERIES[series].points:
                name = f"{Path(shape).name} {series} {point}"
                if name in results and not arguments.again:
                    print(f"{name}: in the results already", file=sys.stderr)
                    continue
                results[name] = measure(series, point, shape, arguments, Path(scratch))
                arguments.out.write_text(json.dumps(results, indent=2) + "\n")
                print(f"{name}: {median_of(results[name], 'cpu_seconds'):.2f} CPU seconds", file=sys.stderr)
    show(results)


if __name__ == "__main__":
    main()
