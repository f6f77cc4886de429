"""How often intervals contain the true value: their coverage at 95 %.

    python benchmarks/intervals.py runs/choices runs/words runs/texts

``benchmarks/README.md`` shows how to make these runs.

- Shares of single samples: exactly, by the binomial distribution.
- Shares over groups: the share of each group is drawn from a beta distribution with the given correlation within groups
  (ICC), then each sample with that share.
- Groups of unequal size: shares, and means of normal samples.
- Means: of normal and lognormal samples.
- Calibration errors: of confidences that are right as often as they say, or less often. The true value is the error of
  the population in the same bins.
- Ratios, corpus metrics and calibration errors: the samples of finished runs are the population; samples are drawn from
  it with replacement, and the true value is the score of the whole run. Metrics of the kinds share, mean and none are
  left out.

Next to each coverage stands that of the percentile bootstrap. Where no interval is given, the draw is left out, and
the share of such draws is shown. Prints one table and writes ``benchmarks/results/intervals.json``. With ``--only
PART``, the results of the other parts and of other runs are kept.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from result_files import RESULTS
from scipy.stats import binom
from tables import intervals

from gpttasks import Run, Session, read_run
from gpttasks.metrics.base import Metric
from gpttasks.metrics.bins import calibration_error
from gpttasks.metrics.classification import CalibrationErrorOptions
from gpttasks.metrics.intervals import Interval, Statistic, interval_of
from gpttasks.metrics.resampling import Total, Units, percentile_ends, resampled_totals
from gpttasks.plugins import load_plugins
from gpttasks.progress import Progress
from gpttasks.recipe import load_recipe

SHARES, SIZES = (0.5, 0.9, 0.97, 0.99), (20, 60, 100, 300, 2000)
RESAMPLES = 1000

Draw = Callable[[np.random.Generator], "tuple[np.ndarray, list[str | None] | None]"]
Row = dict[str, Any]


def mean(rows: np.ndarray) -> float:
    """The mean of the first column."""
    return float(rows[:, 0].mean())


def percentile_of(rows: np.ndarray, total: Total, groups: Any, seed: int) -> tuple[float, float]:
    """The percentile bootstrap interval; (NaN, NaN) where it is undefined."""
    totals = resampled_totals(Units(rows, groups), total, RESAMPLES, seed)
    defined = totals[np.isfinite(totals)]
    return percentile_ends(defined, 0.95) if len(defined) else (math.nan, math.nan)


def contains(ends: tuple[float | None, float | None], truth: float) -> bool:
    """Whether the true value is within the ends, but for rounding."""
    low, high = ends
    return low is not None and high is not None and low - 1e-12 <= truth <= high + 1e-12


# --- shares of single samples: exact ---------------------------------------------------------------------------------


def exact_shares() -> Iterator[Row]:
    """The coverage of each number of samples and each share, summed over all numbers of right answers."""
    for n in SIZES:
        found = [interval_of(column([1] * right + [0] * (n - right)), mean, "share") for right in range(n + 1)]
        for share in SHARES:
            chances = binom.pmf(range(n + 1), n, share)
            covered = sum(p for p, one in zip(chances, found, strict=True) if contains((one.low, one.high), share))
            yield {
                "what": f"share {share}",
                "n": n,
                "coverage": float(covered),
                "percentile": _exact_percentile(n, share, chances),
                "trials": None,
                "none": 0.0,
                "method": "wilson",
            }


def _exact_percentile(n: int, share: float, chances: np.ndarray) -> float:
    """The coverage of the percentile bootstrap with infinitely many resamples: its ends are binomial quantiles."""
    covered = 0.0
    for right, chance in enumerate(chances):
        low, high = binom.ppf((0.025, 0.975), n, right / n) / n
        covered += chance * contains((low, high), share)
    return float(covered)


def column(values: Any) -> np.ndarray:
    """The values as the one column of an array of rows."""
    return np.array(values, dtype=np.float64)[:, None]


# --- simulations -----------------------------------------------------------------------------------------------------


def simulated(
    what: str,
    n: int,
    truth: float,
    draw: Draw,
    statistic: Statistic,
    total: Total = mean,
    *,
    trials: int,
    beside: int,
) -> Row:
    """The coverage over ``trials`` draws; the percentile bootstrap is tried on the first ``beside`` of them."""
    generator = np.random.default_rng(0)
    covered, percentile, without = [], [], 0
    methods: dict[str, int] = {}
    with Progress(f"{what}, n = {n}", trials, "draws") as progress:
        for trial in range(trials):
            rows, groups = draw(generator)
            found: Interval = interval_of(rows, total, statistic, groups=groups, resamples=RESAMPLES, seed=trial)
            methods[found.method] = methods.get(found.method, 0) + 1
            if found.low is None:
                without += 1
            else:
                covered.append(contains((found.low, found.high), truth))
            if trial < beside:
                percentile.append(contains(percentile_of(rows, total, groups, trial), truth))
            progress.advance(1)
    return {
        "what": what,
        "n": n,
        "coverage": float(np.mean(covered)) if covered else None,
        "percentile": float(np.mean(percentile)),
        "trials": trials,
        "none": without / trials,
        "method": max(methods, key=lambda name: methods[name]),
    }


def grouped_shares(trials: int) -> Iterator[Row]:
    """Shares over groups of equal size whose samples are alike."""
    for count in (6, 10, 20, 50):
        for size in (10, 50):
            for icc in (0.1, 0.2):
                for share in (0.5, 0.9, 0.97):
                    groups: list[str | None] = [str(index // size) for index in range(count * size)]
                    draw = _beta_binomial(count, size, icc, share, groups)
                    what = f"share {share}, {count} groups of {size}, ICC {icc}"
                    yield simulated(what, count * size, share, draw, "share", trials=trials, beside=trials // 4)


UNEQUAL = {
    "90 and 10 of 1": [90, *[1] * 10],
    "200 and 19 of 10": [200, *[10] * 19],
    "20 groups of 200/k": [200 // k for k in range(1, 21)],
    "50 groups of 500/k": [500 // k for k in range(1, 51)],
    "5 of 50 and 5 of 1": [50] * 5 + [1] * 5,
}
"""Sizes of groups; the k-th of those with ``/k`` has that part of the first."""


def unequal_groups(trials: int) -> Iterator[Row]:
    """Shares and means of normal samples over groups of unequal size."""
    for name, sizes in UNEQUAL.items():
        for icc in (0.1, 0.2):
            for share in (0.5, 0.9):
                what = f"share {share}, {name}, ICC {icc}"
                draw = _unequal(sizes, icc, share)
                yield simulated(what, sum(sizes), share, draw, "share", trials=trials, beside=trials // 8)
            what, draw = f"mean, normal, {name}, ICC {icc}", _unequal(sizes, icc, None)
            yield simulated(what, sum(sizes), 0.0, draw, "mean", trials=trials, beside=trials // 8)


def _unequal(sizes: list[int], icc: float, share: float | None) -> Draw:
    """Rows of a share in groups of these sizes or, without a share, of normal values of mean 0."""
    names: list[str | None] = [str(index) for index, size in enumerate(sizes) for _ in range(size)]
    strength = (1 - icc) / icc

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, list[str | None] | None]:
        if share is None:
            centers = generator.normal(0, math.sqrt(icc), len(sizes))
            noise = generator.normal(0, math.sqrt(1 - icc), len(names))
            return column(np.repeat(centers, sizes) + noise), names
        shares = generator.beta(share * strength, (1 - share) * strength, len(sizes))
        return column(generator.random(len(names)) < np.repeat(shares, sizes)), names

    return draw


def _beta_binomial(count: int, size: int, icc: float, share: float, groups: list[str | None]) -> Draw:
    strength = (1 - icc) / icc  # a + b of the beta distribution whose samples are correlated by the ICC

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, list[str | None] | None]:
        shares = generator.beta(share * strength, (1 - share) * strength, count)
        return column(generator.random(count * size) < np.repeat(shares, size)), groups

    return draw


def means(trials: int) -> Iterator[Row]:
    """Means of normal and lognormal samples, and of normal samples in groups."""
    kinds: list[tuple[str, float, Callable[[np.random.Generator, int], np.ndarray]]] = [
        ("mean, normal", 0.0, lambda generator, n: generator.normal(size=n)),
        ("mean, lognormal (sigma 0.5)", math.exp(0.125), lambda generator, n: generator.lognormal(0.0, 0.5, n)),
        ("mean, lognormal (sigma 1)", math.exp(0.5), lambda generator, n: generator.lognormal(0.0, 1.0, n)),
    ]
    for what, truth, values in kinds:
        for n in SIZES:
            draw = _independent(values, n)
            yield simulated(what, n, truth, draw, "mean", trials=trials, beside=trials // 4)
    for count in (6, 10, 20, 50):
        what = f"mean, normal, {count} groups of 10, ICC 0.2"
        yield simulated(what, count * 10, 0.0, _normal_groups(count), "mean", trials=trials, beside=trials // 4)


def _independent(values: Callable[[np.random.Generator, int], np.ndarray], n: int) -> Draw:
    return lambda generator: (column(values(generator, n)), None)


def _normal_groups(count: int) -> Draw:
    names: list[str | None] = [str(index // 10) for index in range(count * 10)]

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, list[str | None] | None]:
        centers = np.repeat(generator.normal(size=count) * 0.5, 10)  # 0.25 of a variance of 1.25: ICC 0.2
        return column(centers + generator.normal(size=count * 10)), names

    return draw


def calibration_errors(trials: int) -> Iterator[Row]:
    """Calibration errors in the 15 bins of the metric; groups have shares of right answers of their own."""
    confidences: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
        "confidences 0.5 to 1": lambda generator, n: generator.uniform(0.5, 1, n),
        "confidences mostly above 0.9": lambda generator, n: generator.beta(30, 1, n),
    }
    for where, confidence in confidences.items():
        for error in (0.0, 0.05, 0.15):  # the share of right answers is below the confidence by this much
            for n in (20, 60, 100, 300, 1000, 2000):
                draw = _answered(confidence, error, n)
                yield _calibration_error(f"{error:g}, {where}", n, error, draw, trials)
    for count in (10, 20, 50):
        draw = _answered(confidences["confidences 0.5 to 1"], 0.15, count * 10, count)
        yield _calibration_error(f"0.15, {count} groups of 10", count * 10, 0.15, draw, trials)


def _calibration_error(what: str, n: int, error: float, draw: Draw, trials: int) -> Row:
    name = f"calibration error {what}"
    return simulated(name, n, error, draw, "calibration", calibration_error, trials=trials, beside=trials // 4)


def _answered(
    confidence: Callable[[np.random.Generator, int], np.ndarray], error: float, n: int, count: int | None = None
) -> Draw:
    """Rows of a calibration error; with ``count`` groups, whose shares of right answers differ by up to 0.3."""
    edges = np.linspace(0, 1, CalibrationErrorOptions().bins + 1)[1:-1]
    groups: list[str | None] | None = None if count is None else [str(index * count // n) for index in range(n)]

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, list[str | None] | None]:
        sure = confidence(generator, n)
        shifts = 0 if count is None else np.repeat(generator.uniform(-0.15, 0.15, count), n // count)
        right = generator.random(n) < sure - error + shifts
        return np.stack([sure, right, np.searchsorted(edges, sure)], axis=1), groups

    return draw


def metrics_of(run: Run) -> Iterator[tuple[str, Metric, np.ndarray]]:
    """The resampled metrics of a run that score the model's answers, with the statistics of its samples."""
    recipe = load_recipe(run.folder / "recipe.yaml", [], load_plugins([]))
    with Session(load_plugins([])) as session:
        parts = session.parts(recipe)
    samples = run.samples()
    for key, metric in parts.metrics.items():
        if metric.statistic in ("ratio", "corpus", "calibration") and not run.scores[key].of_baseline:
            yield key, metric, np.array([sample.statistics[key] for sample in samples])


def resampled_metrics(run: Run, trials: int) -> Iterator[Row]:
    """Ratios, corpus metrics and calibration errors, with the samples of a run as the population."""
    for key, metric, population in metrics_of(run):
        name, truth, total = f"{key} of {run.document['name']}", metric.total(population), metric.total
        for n in (20, 60, 100, 300, 1000):
            draw = _drawn_from(population, n)
            yield simulated(name, n, truth, draw, metric.statistic, total, trials=trials, beside=trials // 4)


def _drawn_from(population: np.ndarray, n: int) -> Draw:
    return lambda generator: (population[generator.integers(0, len(population), n)], None)


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "shares": lambda trials: exact_shares(),
    "groups": grouped_shares,
    "unequal": unequal_groups,
    "means": means,
    "calibration": calibration_errors,
}


def main() -> None:
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--trials", type=int, default=2000, help="draws for each simulated coverage")
    parser.add_argument("--resampled-trials", type=int, default=1000, help="draws for each resampled metric")
    parser.add_argument("--only", choices=[*PARTS], action="append", help="a part to measure; may be repeated")
    arguments = parser.parse_args()
    file = RESULTS / "intervals.json"
    kept = json.loads(file.read_text("utf-8"))["rows"] if arguments.only else []
    rows = {(row["what"], row["n"]): row for row in kept}
    for name, part in PARTS.items():
        if not arguments.only or name in arguments.only:
            rows |= {(row["what"], row["n"]): row for row in part(arguments.trials)}
    for folder in arguments.runs:
        found = resampled_metrics(read_run(folder), arguments.resampled_trials)
        rows |= {(row["what"], row["n"]): row for row in found}
    file.write_text(json.dumps({"rows": list(rows.values())}, indent=2) + "\n", "utf-8")
    print(intervals())


if __name__ == "__main__":
    main()
