"""How long the metrics of finished runs take, computed again from their samples.

    gpttasks run quickstart adapt=none train=null head=choice score.limit=40 \\
        'score.metrics=[accuracy, f1, matthews_correlation, log_loss, calibration_error]' --out runs/choices
    gpttasks run multi30k-de-lora backbone=nano task.data.path=DATA/multi30k adapt=none train=null score.limit=40 \\
        'score.metrics=[bleu, chrf, rouge, exact_match, token_f1]' --out runs/texts
    python benchmarks/metrics.py runs/choices runs/texts

For each metric: the seconds of the first time, in which libraries are imported; the median of the later times; and of
that, the time in the ``evaluate.Metric`` that computes the reported value. The rest is the interval. Prints one table
and writes ``benchmarks/results/metrics.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from result_files import RESULTS
from tables import metrics

from gpttasks import Run, Session, read_run
from gpttasks.metrics.evaluate_metric import evaluate_total
from gpttasks.metrics.score import score_samples
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe


def seconds(work: Callable[[], Any]) -> float:
    """The wall-clock seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measured(run: Run, repeats: int) -> Iterator[dict[str, Any]]:
    """One row for each metric of a run."""
    plugins = load_plugins([])
    recipe = load_recipe(run.folder / "recipe.yaml", [], plugins)
    with Session(plugins) as session:
        parts = session.parts(recipe)
    kind = plugins.answer_kinds[parts.head.gives]
    samples = list(run.samples())
    examples, answers = [one.example() for one in samples], [one.given_answer(kind) for one in samples]
    resamples = recipe.score.resamples
    for key, metric in parts.metrics.items():
        score = partial(
            score_samples, metric, examples, answers, key=key, split="", measure="", way="", resamples=resamples
        )
        value = partial(evaluate_total, metric, examples, answers)
        yield {
            "metric": key,
            "samples": len(samples),
            "resamples": resamples,
            "first": seconds(score),
            "later": statistics.median(seconds(score) for _ in range(repeats)),
            "value": statistics.median(seconds(value) for _ in range(repeats)),
        }


def main() -> None:
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--repeats", type=int, default=5, help="times that each metric is computed after the first")
    arguments = parser.parse_args()
    rows = [row for folder in arguments.runs for row in measured(read_run(folder), arguments.repeats)]
    (RESULTS / "metrics.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    print(metrics())


if __name__ == "__main__":
    main()
