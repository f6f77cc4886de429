"""The text tasks with small models: trained or prompted, each score with its baseline.

    python benchmarks/text_tasks.py --data DATA --models MODELS              # every row
    python benchmarks/text_tasks.py --data DATA --models MODELS --rows e2e squad
    python benchmarks/text_tasks.py ... --set runtime.threads=1

``--data`` is the folder with e2e_nlg, multi30k, squad, hellaswag, arc_easy, boolq, lambada, wikitext2 and sst2;
``--models`` holds stories260K. Each row runs in a separate process; one that is finished in --runs is not repeated.
Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TRAINED = ["train.learning_rate=1e-3", "train.tokens_per_step=2048", "adapt.targets=[wte,c_attn,c_proj,c_fc]"]
ROWS: dict[str, list[str]] = {
    "e2e": ["e2e-lora", "task.data.path={data}/e2e_nlg", *TRAINED],
    "multi30k": ["multi30k-de-lora", "task.data.path={data}/multi30k", *TRAINED],
    "squad": ["squad-span", "task.data={{path: {data}/squad}}", *TRAINED],
}
PROMPTED: dict[str, list[str]] = {
    "hellaswag": ["hellaswag-folder", "task.data.path={data}/hellaswag", "score.limit=2000"],
    "arc-easy": ["arc-easy-folder", "task.data.path={data}/arc_easy"],
    "boolq": ["boolq-folder", "task.data.path={data}/boolq", "score.limit=1000"],
    "lambada": ["lambada-zero-shot", "task.data.path={data}/lambada"],
    "wikitext2": ["wikitext2-perplexity", "task.data={{path: {data}/wikitext2}}", 'task.join="\\n"', "head.stride=256"],
    "sst2-16-shot": ["sst2-few-shot", "task.data.path={data}/sst2"],
}
EACH = ["runtime.cache=false"]
MODELS = ("nano", "stories260K")


def row(name: str, command: list[str], runs: Path, shown: list[str]) -> dict[str, Any]:
    """Run a recipe, or read the finished run, and return its scores; ``shown`` is the command with DATA and MODELS."""
    whole = [sys.executable, "-m", "gpttasks", "run", *command, *EACH, "--out", str(runs / name), "--json"]
    run = json.loads(subprocess.run(whole, stdout=subprocess.PIPE, text=True, check=True).stdout)
    keys = ("value", "low", "high", "n", "reason")
    return {
        "scores": {name: {key: score[key] for key in keys} for name, score in run["scores"].items()},
        "train": run["samples"]["train"] if run["training"] else 0,
        "seconds": run["time"]["seconds"],
        "peak_memory_mb": round(run["memory"]["process"] / 1e6),
        "unfinished": run["samples"].get("unfinished", 0),
        "truncated": run["samples"]["truncated"],
        "command": " ".join(["gpttasks run", *shown]),
    }


def commands(data: Path | str, models: Path | str, extra: list[str]) -> dict[str, list[str]]:
    """The command of every row; prompted rows have one for each model."""
    parts_by_row = {name: [*parts, "backbone=nano"] for name, parts in ROWS.items()}
    for name, parts in PROMPTED.items():
        for model in MODELS:
            backbone = model if model == "nano" else f"{models}/{model}"
            parts_by_row[f"{name}-{model}"] = [*parts, f"backbone={backbone}"]
    return {name: [part.format(data=data) for part in parts] + extra for name, parts in parts_by_row.items()}


def main() -> None:
    """Measure the requested rows and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", help="prefixes of the rows' names")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/text_tasks.json"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for all rows")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    shown = commands("DATA", "MODELS", arguments.set)
    for name, command in commands(arguments.data, arguments.models, arguments.set).items():
        if not arguments.rows or any(name.startswith(beginning) for beginning in arguments.rows):
            results[name] = row(name, command, arguments.runs, shown[name])
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{'':26} {'score':28} {'value':>9}  {'95 % interval':21} {'n':>6}")
    for name, result in results.items():
        for key, score in result["scores"].items():
            interval = "" if score["low"] is None else f"{score['low']:.4f} – {score['high']:.4f}"
            value = "undefined" if score["value"] is None else f"{score['value']:.4f}"
            print(f"{name:26} {key:28} {value:>9}  {interval:21} {score['n']:>6,}")


if __name__ == "__main__":
    main()
