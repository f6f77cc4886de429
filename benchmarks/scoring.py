"""Scoring speed and memory compared with lm-evaluation-harness, with the same weights and rendered prompts.

    python benchmarks/scoring.py --data DATA --peer-python PEER/bin/python
    python benchmarks/scoring.py ... --shape MODELS/stories260K --cases hellaswag:0:100 sst2:16:100
    python benchmarks/scoring.py ... --shape qwen-vocabulary --cases hellaswag:0:20 arc_easy:0:30 sst2:16:32
    python benchmarks/scoring.py ... --cases hellaswag:5:5 --fresh-shots

The peer's environment has lm_eval 0.4.13 with the same torch and transformers: ``pip install 'lm_eval[hf]==0.4.13'``
with their versions pinned, or a fresh environment whose .pth file names the site-packages of this one. With
``--lighteval-python``, lighteval's own model answers the same strings as a third side (``scoring_lighteval.py``).

A case is NAME:SHOTS:DOCUMENTS. Its shots are drawn once and placed before every document; with ``--fresh-shots``, every
document has different shots, which is the default of the peer's tasks. Nothing is cut: the number of shots is reduced
until nine of ten documents fit, documents that are still too long are skipped, and both are in the results. The strings
are rendered once into a file that each side reads in a separate process: ``gpttasks`` (the shared engine with its
defaults), ``lm-eval`` (HFLM, with the batch size that took the least CPU time on part of the documents) and, once,
``plain`` (the engine that processes each request as one row).

Times are measured from strings to numbers, without imports and loading. CPU seconds are those of the process, because
other work on the machine lengthens the wall time. Peak memory is the maximum resident memory while answering. Tables
give medians over the pairs.

Parity: log-likelihoods are equal within 1e-4 nats or, above 420 nats, within 2**-22 of their size (about two units of
fp32). A difference is explained if the peer uses other tokens and the plain engine computes the peer's number for
them. The same holds for lighteval, which tokenises a context and its continuation separately.

To pin cores, run everything under ``taskset``; ``--threads`` sets torch's threads on each side.
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
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scoring_cases import SHAPES, case_documents, model_folder
from scoring_lighteval import SKIPPED

CASES = (
    *("hellaswag:0:100", "hellaswag:5:100", "hellaswag:10:20", "arc_easy:0:100", "arc_easy:25:20", "boolq:0:100"),
    *("boolq:5:24", "sst2:16:100", "lambada:0:100", "wikitext2:0:1", "e2e_nlg:0:100"),
)
"""The cases of the first shape in benchmarks/README.md."""
TOLERANCE = 1e-4


def run_side(
    side: str, arguments: argparse.Namespace, file: Path, folder: Path, batches: list[int], *more: str
) -> dict[str, Any]:
    """The result of a worker. Raises RuntimeError with its output if it failed. The side ``check`` checks lighteval."""
    pythons = {"lm-eval": arguments.peer_python, "lighteval": arguments.lighteval_python}
    here = Path(__file__).parent
    lighteval_script = [str(here / "scoring_lighteval.py")]
    script = lighteval_script if side in ("lighteval", "check") else [str(here / "scoring_sides.py"), side]
    command = [str(pythons.get(side, sys.executable)), *script, str(file), str(folder)]
    command += ["--threads", str(arguments.threads), "--batches", *map(str, batches), *more]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(arguments.threads))
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    start = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads | quiet)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{process.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if side != "check":
        result["total_seconds"] = time.perf_counter() - start
    return result


def measure(case: str, arguments: argparse.Namespace, folder: Path, scratch: Path) -> dict[str, Any]:
    """One case: the peers' batch sizes, then the pairs, whose order alternates."""
    content = case_documents(case, arguments, folder)
    file = scratch / "requests.json"
    file.write_text(json.dumps(content))
    about = {key: value for key, value in content.items() if key != "texts"}
    sides, batches = ["gpttasks", "lm-eval"], {}
    if arguments.lighteval_python and content["kind"] not in SKIPPED:
        sides.append("lighteval")
    elif arguments.lighteval_python:
        about["lighteval_skipped"] = SKIPPED[content["kind"]]
    for side in sides[1:]:
        tried = run_side(side, arguments, file, folder, arguments.peer_batches)
        cpu_by_batch: dict[str, float] = tried.get("cpu_by_batch", {str(arguments.peer_batches[0]): 0.0})
        batches[side] = int(min(cpu_by_batch, key=lambda size: cpu_by_batch[size]))
        name = "peer" if side == "lm-eval" else side
        about |= {f"{name}_batch": batches[side], f"{name}_cpu_by_batch": cpu_by_batch}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in (*sides, "plain")}
    for pair in range(arguments.pairs):
        for side in sides if pair % 2 == 0 else reversed(sides):
            runs[side].append(run_side(side, arguments, file, folder, [batches.get(side, 1)]))
    runs["plain"].append(run_side("plain", arguments, file, folder, [1]))
    splits = runs["plain"][0].get("peer_split", {})
    about["parity"] = parity(runs, "lm-eval", splits, content["kind"])
    about["parity"] |= same_choices(content["texts"], runs["gpttasks"][0]["values"], runs["lm-eval"][0]["values"])
    if "lighteval" in sides:
        splits = lighteval_splits(runs, arguments, file, folder) if content["kind"] != "generate" else {}
        about["lighteval_parity"] = parity(runs, "lighteval", splits, content["kind"])
    large = ("values", "greedy", "tokens", "peer_split", "rows")
    about["runs"] = {side: [{k: v for k, v in run.items() if k not in large} for run in runs[side]] for side in runs}
    return about


def lighteval_splits(
    runs: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace, file: Path, folder: Path
) -> dict[str, dict[str, Any]]:
    """For each request with other tokens in lighteval: why, and the value of these tokens if the answers differ."""
    own_run, peer = runs["gpttasks"][0], runs["lighteval"][0]
    values = enumerate(zip(own_run["values"], peer["values"], strict=True))
    different = [index for index, (ours, theirs) in values if not close(ours, theirs)]
    rows = file.with_name("rows.json")
    rows.write_text(json.dumps({"rows": peer["rows"], "different": different}))
    return run_side("check", arguments, file, folder, [1], "--check", str(rows))


def parity(
    runs: dict[str, list[dict[str, Any]]], side: str, splits: dict[str, dict[str, Any]], kind: str
) -> dict[str, Any]:
    """The agreement of gpttasks, a peer and the plain engine; ``splits``: requests with other tokens in the peer."""
    first_run, peer, plain = runs["gpttasks"][0], runs[side][0], runs["plain"][0]
    if kind == "generate":
        equal = sum(a == b for a, b in zip(first_run["values"], peer["values"], strict=True))
        as_plain = sum(a == b for a, b in zip(first_run["values"], plain["values"], strict=True))
        return {"requests": len(first_run["values"]), "equal": equal, "equal_to_plain": as_plain}
    values = list(zip(first_run["values"], peer["values"], plain["values"], strict=True))
    equal = [close(ours, theirs) for ours, theirs, _ in values]
    why: Counter[str] = Counter()
    same_rows = [0.0]
    for index, (ours, theirs, _) in enumerate(values):
        split = splits.get(str(index))
        if split is None:
            same_rows.append(abs(ours - theirs))
        if not equal[index]:
            explained = split is not None and "value" in split and close(split["value"], theirs)
            why[split["why"] if split is not None and explained else "unexplained"] += 1
    flags = zip(first_run.get("greedy", ()), peer.get("greedy", ()), equal, strict=False)
    return {
        "requests": len(values),
        "equal": sum(equal),
        "other_tokens": len(splits),
        "different": dict(why),
        "largest_difference_same_tokens": max(same_rows),
        "largest_difference_to_plain": max(abs(ours - slow) for ours, _, slow in values),
        "greedy_flags_different_where_equal": sum(a != b for a, b, same in flags if same),
    }


def same_choices(texts: list[Any], ours: list[Any], theirs: list[Any]) -> dict[str, int]:
    """The number of documents with several continuations, and how many have the same likeliest one (equal accuracy)."""
    start = choices = same = 0
    for _, continuations in texts:
        end = start + len(continuations)
        if len(continuations) > 1:
            choices += 1
            same += ours.index(max(ours[start:end]), start) == theirs.index(max(theirs[start:end]), start)
        start = end
    return {"choices": choices, "choices_equal": same} if choices else {}


def close(ours: float, theirs: float) -> bool:
    """Whether two log-likelihoods are the same: within 1e-4 nats, or about two units of fp32 for larger sums."""
    return abs(ours - theirs) <= max(TOLERANCE, abs(theirs) * 2**-22)


def medians(case: dict[str, Any], key: str) -> dict[str, float]:
    """The median of a number, by side."""
    return {side: statistics.median(run[key] for run in runs) for side, runs in case["runs"].items()}


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    head = f"{'':28} {'docs':>5} {'asked':>6} {'wall s':>15} {'CPU s':>15} {'times':>6} {'(range)':>13} {'plain':>7}"
    print("Pairs of columns: gpttasks, lm-eval. times: CPU seconds of lm-eval / of gpttasks; plain: CPU seconds.")
    more = ""
    if any("lighteval" in case["runs"] for case in results.values()):
        print("lighteval: CPU s, times those of gpttasks, peak MB, + MB, batch (rows at once), equal/expl./other.")
        more = "   lighteval"
    head += f" {'peak MB':>11} {'+ MB':>11} {'batch':>5}"
    print(f"{head} {'equal':>6} {'expl.':>6} {'other':>6} {'max diff':>9}{more}")
    for name, case in results.items():
        wall, cpu, peak, before = (
            medians(case, key) for key in ("seconds", "cpu_seconds", "peak_memory", "memory_before")
        )
        a, b = "gpttasks", "lm-eval"
        pairs = zip(case["runs"][a], case["runs"][b], strict=True)
        ratios = sorted(theirs["cpu_seconds"] / ours["cpu_seconds"] for ours, theirs in pairs)
        parity = case["parity"]
        explained, other = differing(parity)
        print(
            f"{name:28} {case['documents']:5} {parity['requests']:6} {wall[a]:7.2f} {wall[b]:7.2f}"
            f" {cpu[a]:7.2f} {cpu[b]:7.2f} {cpu[b] / cpu[a]:6.2f} {f'({ratios[0]:.2f}–{ratios[-1]:.2f})':>13}"
            f" {cpu['plain']:7.2f} {peak[a] / 1e6:5.0f} {peak[b] / 1e6:5.0f}"
            f" {(peak[a] - before[a]) / 1e6:5.0f} {(peak[b] - before[b]) / 1e6:5.0f} {case['peer_batch']:5}"
            f" {parity['equal']:6} {explained:6} {other:6} {parity.get('largest_difference_same_tokens', 0):9.1e}"
            f"{lighteval_column(case)}"
        )


def differing(parity: dict[str, Any]) -> tuple[int, int]:
    """The number of different answers that are explained, and of those that are not."""
    if "different" not in parity:
        return 0, parity["requests"] - parity["equal"]
    other = parity["different"].get("unexplained", 0)
    return sum(parity["different"].values()) - other, other


def lighteval_column(case: dict[str, Any]) -> str:
    """Lighteval's part of a row of the table: empty if it was not measured, "skipped" if it was skipped."""
    if "lighteval" not in case["runs"]:
        return "   skipped" if "lighteval_skipped" in case else ""
    cpu, peak, before = (medians(case, key) for key in ("cpu_seconds", "peak_memory", "memory_before"))
    side, parity = "lighteval", case["lighteval_parity"]
    batch = f"{case['lighteval_batch']}({case['runs'][side][0]['rows_at_once']})"
    equal = "/".join(map(str, (parity["equal"], *differing(parity))))
    return (
        f"   {cpu[side]:7.2f} {cpu[side] / cpu['gpttasks']:6.2f} {peak[side] / 1e6:5.0f}"
        f" {(peak[side] - before[side]) / 1e6:5.0f} {batch:>7} {equal:>10}"
    )


def arguments_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with hellaswag, arc_easy, boolq, sst2, lambada, …")
    parser.add_argument("--peer-python", type=Path, help="the interpreter of the environment with lm_eval")
    parser.add_argument("--lighteval-python", type=Path, help="likewise with lighteval, to measure it too")
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="NAME:SHOTS:DOCUMENTS")
    parser.add_argument("--shape", default="gpt2-small", help=f"{', '.join(SHAPES)}, or a model's folder")
    parser.add_argument("--documents", type=int, default=100, help="if the case does not say")
    parser.add_argument("--fresh-shots", action="store_true", help="different shots for each document")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--peer-batches", type=int, nargs="+", default=[4, 16, 64], help="the fastest one is used for each peer"
    )
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring.json"))
    return parser


def main() -> None:
    """Measure the requested cases, add them to the results, and print all."""
    arguments = arguments_parser().parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    folder = model_folder(arguments.shape, arguments.models)
    with tempfile.TemporaryDirectory() as scratch:
        for case in arguments.cases:
            name = f"{Path(arguments.shape).name} {':'.join(case.split(':')[:2])}{'+' if arguments.fresh_shots else ''}"
            result = measure(case, arguments, folder, Path(scratch))
            versions = {package: version(package) for package in ("gpttasks", "torch", "transformers", "tokenizers")}
            results[name] = result | {"threads": arguments.threads, "versions": versions}
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
            print(name, result["parity"], result.get("lighteval_parity", ""), file=sys.stderr)
    show(results)


if __name__ == "__main__":
    main()
