"""The tables of ``benchmarks/README.md`` about the speed of scoring; ``tables.py`` puts them there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from result_files import read

from gpttasks.markdown import table

CASES = {
    "hellaswag": "HellaSwag",
    "arc_easy": "ARC-Easy",
    "boolq": "BoolQ",
    "sst2": "SST-2",
    "lambada": "LAMBADA",
    "wikitext2": "WikiText-2",
    "e2e_nlg": "E2E",
}
SHAPES = {
    "gpt2-small": "124M GPT-2",
    "gpt2": "30M GPT-2",
    "qwen-vocabulary": "42M Qwen, vocabulary 151,936",
    "stories260K": "`stories260K`",
}


def scoring() -> str:
    """Scoring on one core, compared with lm-evaluation-harness."""
    return _compared_with_lm_eval(case for case in read("scoring").items() if case[1]["threads"] == 1)


def scoring_two_cores() -> str:
    """The same on two cores."""
    return _compared_with_lm_eval(case for case in read("scoring").items() if case[1]["threads"] == 2)


def _compared_with_lm_eval(cases: Iterable[tuple[str, Any]]) -> str:
    rows = []
    for name, case in cases:
        clock = "cpu_seconds" if case["threads"] == 1 else "seconds"
        ours, theirs = (_median(case, side, clock) for side in ("gpttasks", "lm-eval"))
        whole = [_median(case, side, "total_seconds") for side in ("gpttasks", "lm-eval")]
        peak = [_median(case, side, "peak_memory") / 1e6 for side in ("gpttasks", "lm-eval")]
        times = _times(case, "lm-eval", clock)
        more = (times, f"{whole[0]:.0f} / {whole[1]:.0f} s", f"{peak[0]:,.0f} / {peak[1]:,.0f} MB")
        rows.append((*_case(name, case), f"{ours:.1f} s", f"{theirs:.1f} s", *more))
    header = ("", "model", "documents", "gpttasks", "lm-eval", "ratio (range)", "with start-up", "peak memory")
    return table(header, rows)


def lighteval() -> str:
    """Scoring compared with lighteval."""
    rows = []
    for name, case in read("scoring_lighteval").items():
        seconds = [_median(case, side, "cpu_seconds") for side in ("gpttasks", "lighteval")]
        parity = case["lighteval_parity"]
        more = (_times(case, "lighteval", "cpu_seconds"), f"{parity['equal']:,} of {parity['requests']:,}")
        rows.append((*_case(name, case), *(f"{one:.1f} s" for one in seconds), *more))
    return table(("", "model", "documents", "gpttasks", "lighteval", "ratio (range)", "equal answers"), rows)


def _case(name: str, case: Mapping[str, Any]) -> tuple[str, str, str]:
    shape, _, rest = name.partition(" ")
    data = rest.partition(":")[0]
    what = {"wikitext2": "one article", "e2e_nlg": "64 generated tokens"}.get(data, f"{case['shots']} shots")
    return f"{CASES[data]}, {what}", SHAPES[shape], f"{case['documents']:,}"


def _median(case: Mapping[str, Any], side: str, key: str) -> float:
    return float(statistics.median(run[key] for run in case["runs"][side]))


def _times(case: Mapping[str, Any], side: str, key: str) -> str:
    pairs = zip(case["runs"]["gpttasks"], case["runs"][side], strict=True)
    ratios = sorted(theirs[key] / ours[key] for ours, theirs in pairs)
    return f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def continuous() -> str:
    """Generation compared with transformers' continuous batching."""
    result = read("scoring_continuous")
    seconds = result["cpu_seconds"]
    ratios = sorted(b / a for a, b in zip(seconds["gpttasks"], seconds["transformers"], strict=True))
    ours, theirs = (f"{statistics.median(seconds[side]):.1f} s" for side in ("gpttasks", "transformers"))
    times = f"{result['times']:.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    row = (SHAPES[result["shape"]], str(result["texts"]), str(result["tokens"]), ours, theirs, times)
    header = ("model", "texts", "tokens each", "gpttasks", "transformers", "ratio (range)", "equal texts")
    return table(header, [(*row, str(result["equal_texts"]))])


def invariance() -> str:
    """The same replies whatever the engine, batch size, order and number of processes."""
    rows = []
    for name, way in read("scoring_invariance")["ways"].items():
        different = (f"{way['largest_difference']:.1e}", str(len(way["choices_different"])))
        rows.append((name, str(way["compared"]), *different, str(len(way["texts_different"]))))
    header = ("engine and setting", "requests", "largest difference (nats)", "different choices", "different texts")
    return table(header, rows)


def growth() -> str:
    """The growth of the time with documents, shots and options."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for point in read("scoring_growth").values():
        groups.setdefault((point["shape"], point["series"]), []).append(point)
    rows = []
    for (shape, series), points in groups.items():
        before: tuple[float, float] | None = None
        for point in sorted(points, key=lambda point: point["point"]):
            cpu = statistics.median(run["cpu_seconds"] for run in point["shared"])
            size = point["point"]
            exponent = math.log(cpu / before[1]) / math.log(size / before[0]) if before and before[0] else None
            plain = point["plain"]
            slow = f"{plain['cpu_seconds']:.1f} s" if "cpu_seconds" in plain else ""
            slow = slow or f"about {plain['estimated_cpu_seconds']:.0f} s"
            each = f"{cpu / point['documents'] * 1e3:.1f} ms"
            grown = "–" if exponent is None else f"{exponent:.2f}"
            rows.append(
                (series, f"{size:,}", SHAPES[shape], f"{point['documents']:,}", f"{cpu:.1f} s", each, grown, slow)
            )
            before = (size, cpu)
    header = ("varied", "to", "model", "documents", "CPU time", "per document", "exponent of growth", "plain engine")
    return table(header, rows)


def limit() -> str:
    """The share of the machine's matmul peak that scoring reaches."""
    result = read("scoring_limit")
    best = result["best_one_thread"]
    rows = []
    for name, case in result["cases"].items():
        speed = case["gflops_per_second"]
        counts = (f"{case['tokens']:,}", f"{case['tokens_least']:,}", f"{sum(case['needed'].values()) / 1e12:.2f}")
        rate = (f"{case['cpu_seconds']:.1f} s", f"{speed:.0f} GFLOP/s", f"{best:.0f} GFLOP/s", f"{speed / best:.0%}")
        rows.append((*_case(name, case), *counts, *rate))
    header = (
        "",
        "model",
        "documents",
        "tokens",
        "fewest possible",
        "needed TFLOP",
        "CPU time",
        "speed",
        "peak",
        "share",
    )
    return table(header, rows)


def products() -> str:
    """The speed of the model's own matrix products, by number of rows."""
    shapes = read("scoring_limit")["own_shapes"]
    sizes = list(next(iter(shapes.values())))
    rows = [(name, *(f"{rates[size]:.0f}" for size in sizes)) for name, rates in shapes.items()]
    return table(("GFLOP/s on one core, by rows", *sizes), rows)


def branches() -> str:
    """The ways to process the continuations of one context."""
    rows = []
    for case in read("scoring_branches"):
        what = (SHAPES[case["shape"]], f"{case['context']:,}", f"{case['branches']} x {case['length']}")
        ways = (f"{case[way] / case['tree']:.2f}" for way in ("after", "copies"))
        rows.append((*what, f"{case['tree']:.3f} s", *ways))
    return table(
        ("model", "context", "continuations x tokens", "tree", "after: of the tree", "copies: of the tree"), rows
    )


TABLES = {
    "scoring": scoring,
    "scoring on two cores": scoring_two_cores,
    "lighteval": lighteval,
    "continuous batching": continuous,
    "invariance": invariance,
    "growth": growth,
    "limit": limit,
    "products": products,
    "branches": branches,
}
