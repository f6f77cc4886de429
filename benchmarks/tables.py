"""The tables of ``benchmarks/README.md`` and ``recipes/README.md``, generated from ``benchmarks/results/*.json``.

    python benchmarks/tables.py      # updates both files; a test checks that they are up to date

Nothing is measured here. To measure again, run the script that a section names, then this script.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import scoring_tables
from headers import purpose
from result_files import read

from gpttasks.markdown import put_between, table
from gpttasks.plugins import load_plugins

ROOT = Path(__file__).parents[1]
README = ROOT / "benchmarks" / "README.md"
RECIPES = ROOT / "recipes" / "README.md"

DATA_KEY = re.compile(r" task\.data(\.path)?=(\{[^}]*\}|'\[[^']*'|\S+)")
BASELINES = load_plugins().names("baseline")
SIDES = ("before", "after")
METRICS = {
    "bleu": "BLEU",
    "nist": "NIST",
    "rouge": "ROUGE-L",
    "chrf": "chrF",
    "chrf2": "chrF++",
    "ter": "TER",
    "wer": "word error rate",
    "f1": "F1",
    "token_f1": "token F1",
    "perplexity": "token perplexity",
}


def value(score: Mapping[str, Any]) -> str:
    """``0.8536 (0.8494 to 0.8578)``: a value and its 95 % interval."""
    if score["value"] is None:
        return "undefined"
    text = _number(score["value"])
    return text if score.get("low") is None else f"{text} ({_number(score['low'])} to {_number(score['high'])})"


def _number(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:,.2f}" if abs(number) >= 10 else f"{number:.4f}"


def _metric(key: str) -> str:
    return METRICS.get(key, key.replace("_", " "))


def measured(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Each metric, its value, and the values of baselines for the same metric."""
    baselines: dict[str, list[str]] = {}
    for key, score in scores.items():
        metric, baseline = next(
            ((key[: -len(name) - 1], name) for name in BASELINES if key.endswith(f"_{name}")), (key, "")
        )
        if baseline:
            baselines.setdefault(metric, []).append(f"{baseline.replace('_', ' ')} {value(score)}")
    for key, score in scores.items():
        if not any(key.endswith(f"_{name}") for name in BASELINES):
            yield _metric(key), value(score), "; ".join(baselines.get(key, ["–"]))


# --- tasks -----------------------------------------------------------------------------------------------------------


def imdb() -> str:
    """IMDb sentiment: prompted, trained, and two baselines of scikit-learn."""
    names = {
        "majority": "majority class",
        "zero-shot": "`imdb-zero-shot`",
        "few-shot": "`imdb-zero-shot score.shots=2`",
        "lora": "`imdb-lora`",
        "lora-6000": "`imdb-lora train.limit=6000 score.limit=2000`",
        "lora-embeddings": "`imdb-lora adapt.targets=[wte,c_attn,c_proj,c_fc]`",
        "classifier": "`imdb-classifier`",
        "tfidf": "TF-IDF (1- and 2-grams), logistic regression",
    }
    results = read("imdb")
    rows = []
    for key, name in names.items():
        row = results[key]
        held_out = row.get("held_out_for_validation")
        trained = f"{row['train']:,}" + (f", {held_out:,} more for validation" if held_out else "")
        before = row.get("training_minutes_before_resuming")
        minutes = f"{before} + {row['scoring_seconds'] / 60:.1f} min" if before else f"{row['seconds'] / 60:.1f} min"
        memory = f"{row['peak_memory_mb']:,} MB" if "peak_memory_mb" in row else "–"
        score = {"value": row["accuracy"], "low": row["low"], "high": row["high"]}
        rows.append((name, value(score), f"{row['n']:,}", trained if row["train"] else "–", minutes, memory))
    return table(("", "accuracy", "n", "training examples", "time", "peak memory"), rows)


def text_tasks() -> str:
    """The text tasks with two small models."""
    rows = []
    for result in read("text_tasks").values():
        for metric, score, baselines in measured(result["scores"]):
            n = next(iter(result["scores"].values()))["n"]
            trained = f"{result['train']:,}" if result["train"] else "–"
            rows.append((f"`{recipe_of(result)}`", model_of(result), metric, score, f"{n:,}", trained, baselines))
    return table(("recipe", "model", "metric", "value", "n", "training examples", "baselines"), rows)


def spoken_digits() -> str:
    """Spoken digits by three heads, and a classical model on the same features."""
    runs: dict[str, dict[str, Any]] = {}
    for key, result in read("spoken_digits").items():
        name, _, metric = key.rpartition(" ")
        runs.setdefault(name, {})[metric] = result
    rows = []
    for name, scores in runs.items():
        run = next(iter(scores.values()))
        minutes = run.get("time", run)["seconds"] / 60
        memory = f"{run['memory']['process'] / 1e6:,.0f} MB" if "memory" in run else "–"
        label = f"`{name}`" if name.startswith("spoken") else name
        for metric, score, baselines in measured(scores):
            rows.append((label, metric, score, baselines, f"{minutes:.1f} min", memory))
    return table(("", "metric", "value", "baseline", "time", "peak memory"), rows)


def recipes() -> str:
    """Recipes that were measured by a single command."""
    rows = []
    for run in read("recipes"):
        for metric, score, baselines in measured(run["scores"]):
            note = run.get("note", "–")
            rows.append((f"`{run['recipe']}`", metric, score, f"{run['n']:,}", baselines, note, f"`{run['command']}`"))
    return table(("recipe", "metric", "value", "n", "baselines", "note", "command"), rows)


def recipe_of(result: Mapping[str, Any]) -> str:
    """The recipe that a command runs."""
    return str(result["command"]).split()[2]


def model_of(result: Mapping[str, Any]) -> str:
    """The backbone that a command names."""
    return str(result["command"]).partition("backbone=")[2].split()[0].removeprefix("MODELS/")


# --- waiting and writing ---------------------------------------------------------------------------------------------


def startup() -> str:
    """The waiting times on a quiet machine and on a busy one."""
    quiet, busy = read("startup_quiet")["seconds"], read("startup")
    rows = []
    for name, seconds in quiet.items():
        busy_seconds = sorted(busy[name])
        label = f"`{name}`" if name.startswith("gpttasks") else name
        rest = (f"{statistics.median(busy_seconds):.2f} s", f"{busy_seconds[0]:.2f} to {busy_seconds[-1]:.2f} s")
        rows.append((label, f"{seconds['median']} s", f"{seconds['low']} to {seconds['high']} s", *rest))
    return table(("", "quiet: median", "range", "busy: median", "range"), rows)


def metrics() -> str:
    """How long the metrics of some runs take to compute."""
    rows = [
        (f"`{row['metric']}`", str(row["samples"]), *(f"{row[name]:.3f} s" for name in ("first", "later", "value")))
        for row in read("metrics")
    ]
    return table(("metric", "samples", "first time", "later", "of that, `evaluate.Metric`"), rows)


def intervals() -> str:
    """How often the intervals contain the true value."""
    rows = []
    for row in read("intervals")["rows"]:
        without = percent(row["none"]) if row["none"] else "–"
        cells = ("–" if row[name] is None else percent(row[name]) for name in ("coverage", "percentile"))
        rows.append((row["what"], f"{row['n']:,}", row["method"], *cells, without, f"{row['trials'] or 'exact'}"))
    return table(("", "n", "method", "coverage", "percentile bootstrap", "no interval", "draws"), rows)


def time_left() -> str:
    """The predicted time left, divided by the real one."""
    shares = ("10%", "30%", "50%")
    rows = [
        (name, f"{row['seconds']:.0f} s", *(f"{row[share]:.2f}" for share in shares))
        for name, row in read("time_left").items()
    ]
    return table(("", "time", *(f"after {share.replace('%', ' %')}" for share in shares)), rows)


def checkpoints() -> str:
    """Seconds for a checkpoint as it is, and its ratio to one without the checksum, fsync or both."""
    rows = []
    for what, found in read("checkpoints").items():
        seconds = found["seconds"]
        medians = [f"{statistics.median(seconds[name]):.3f} s" for name in seconds]
        ratios = (
            statistics.median(whole / part for whole, part in zip(seconds["as it is"], seconds[name], strict=True))
            for name in seconds
            if name != "as it is"
        )
        rows.append((what, f"{found['bytes'] / 1e6:,.0f} MB", *medians, *(f"{ratio:.2f}" for ratio in ratios)))
    left_out = ["no checksum", "no fsync", "neither"]
    return table(["", "size", "as it is", *left_out, *(f"as it is / {name}" for name in left_out)], rows)


def identity() -> str:
    """What it costs that a run knows what it depends on."""
    rows = [(what, f"{1000 * seconds:,.1f} ms") for what, seconds in read("identity").items()]
    return table(("", "time"), rows)


def attack() -> str:
    """The outcomes of a campaign of attacks, by area."""
    areas = read("attack")["areas"]
    verdicts = ("held", "refused", "reported")
    faults = sorted({verdict for counts in areas.values() for verdict in counts} - set(verdicts))
    rows = [
        (area, f"{sum(counts.values()):,}", *(f"{counts.get(verdict, 0):,}" for verdict in (*verdicts, *faults)))
        for area, counts in areas.items()
    ]
    return table(("", "attacks", *verdicts, *faults), rows)


def load() -> str:
    """Reading a large file of which a limit chooses few rows."""
    rows = [(f"{row['rows']:,}", f"{row['seconds']:.1f} s", f"{row['mib']:,} MiB") for row in read("load")["results"]]
    return table(("rows", "time", "memory"), rows)


def keeping() -> str:
    """What it costs to keep replies."""

    def ratio(found: dict[str, float] | None) -> str:
        return f"{found['median']:.3f} ({found['low']:.3f} to {found['high']:.3f})" if found else ""

    rows = [
        (
            name,
            f"{row['requests']:,}",
            f"{row['seconds']:.1f} s",
            percent(row["share"]),
            ratio(row["ratio"]),
            ratio(row.get("before")),
        )
        for name, row in read("keeping").items()
    ]
    return table(("", "replies", "not kept", "share of keeping", "kept / not kept", "kept / kept before"), rows)


def percent(share: float) -> str:
    """``95.2 %``."""
    return f"{100 * share:.1f} %"


def versions() -> str:
    """Two checkouts against each other."""
    rows = []
    for name, row in read("versions")["rows"].items():
        cells = [f"{row[side]['median']:.2f} s ({row[side]['low']:.2f} to {row[side]['high']:.2f})" for side in SIDES]
        ratio = row["ratio"]
        rows.append((name, *cells, f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"))
    return table(("", *SIDES, "after / before"), rows)


def authors_path() -> str:
    """From ``gpttasks new plugin`` to a scored run."""
    rows = []
    for name, way in read("authors_path")["ways"].items():
        counts = (str(way["commands"]), str(way["lines"]), str(way["rows"]))
        rows.append((name, *counts, f"{way['wall_s']:.0f} s"))
    return table(("new", "commands", "lines of code", "rows of data", "time of the commands"), rows)


# --- the recipes' page and the front page ----------------------------------------------------------------------------


def every_recipe() -> str:
    """Each bundled recipe, what it does, and the measured value of its first metric."""
    rows = []
    for file in sorted(RECIPES.parent.glob("*.yaml")):
        measurements = [_measurement(run) for run in runs_of(file.stem)]
        rows.append((f"`{file.stem}`", purpose(file), "<br>".join(measurements) or "not measured"))
    return table(("recipe", "what it does", "measured"), rows)


def runs_of(recipe: str) -> Iterator[dict[str, Any]]:
    """The measured runs of a recipe, in a common form: the command, the scores and ``n``."""
    for row in read("imdb").values():
        if "command" in row and recipe_of(row) == recipe:
            score = {"value": row["accuracy"], "low": row["low"], "high": row["high"]}
            yield {"command": row["command"], "scores": {"accuracy": score}, "n": row["n"]}
    for row in read("text_tasks").values():
        if recipe_of(row) == recipe:
            yield {**row, "n": next(iter(row["scores"].values()))["n"]}
    digits = {key.rpartition(" ")[2]: row for key, row in read("spoken_digits").items() if key.startswith(f"{recipe} ")}
    if digits:
        changes = "task.data.path=DATA/spoken_digits train.epochs=10 adapt.targets=[wte,c_attn,c_proj,c_fc]"
        command = f"gpttasks run {recipe} backbone=nano {changes}"
        yield {"command": command, "scores": digits, "n": 300}
    yield from (run for run in read("recipes") if run["recipe"] == recipe)


def _measurement(run: Mapping[str, Any]) -> str:
    command = DATA_KEY.sub("", run["command"]).replace(" runtime.cache=false", "")
    changes = [part for part in command.split()[3:] if not part.startswith("backbone=")]
    model = model_of(run) if "backbone=" in command else "nano"
    metric, score, beside = next(measured(run["scores"]))
    baselines = "" if beside == "–" else f"; {beside}"
    words = f"{model}: {metric} {score}, n = {run['n']:,}{baselines}"
    return words + (f" (with `{' '.join(changes)}`)" if changes else "")


def front_page() -> str:
    """Three ways to do one task, for the README."""
    names = {
        "zero-shot": ("prompted, no training", "imdb-zero-shot"),
        "lora": ("LoRA, the answer as a word", "imdb-lora"),
        "lora-embeddings": ("the same, with LoRA on the embeddings too", "imdb-lora"),
        "classifier": ("LoRA and a trained head", "imdb-classifier"),
        "tfidf": ("for comparison: TF-IDF, logistic regression", ""),
    }
    results = read("imdb")
    rows = []
    for key, (way, recipe) in names.items():
        row = results[key]
        score = {"value": row["accuracy"], "low": row["low"], "high": row["high"]}
        trained = f"{row['train']:,}" if row["train"] else "–"
        rows.append((way, f"`{recipe}`" if recipe else "–", trained, value(score), f"{row['n']:,}"))
    return table(("", "recipe", "training examples", "accuracy (95 % interval)", "test examples"), rows)


def damages() -> str:
    """What came out of each area's damages. All others are faults: silent, unnamed, failed, a traceback, or no end."""
    result = read("damages")
    rows = []
    for area, counts in result["areas"].items():
        wrong = [one["outcome"] for one in result["not_acceptable"] if one["area"] == area]
        right = [counts.get(name, 0) - wrong.count(name) for name in ("NOTICED", "HELD")]
        rows.append((area, *(f"{int(number)}" for number in (sum(counts.values()), *right, len(wrong)))))
    total = [str(sum(int(row[column]) for row in rows)) for column in range(1, 5)]
    return table(("damaged", "damages", "noticed", "same result", "not acceptable"), [*rows, ("all", *total)])


TABLES: dict[str, Callable[[], str]] = {
    "imdb": imdb,
    "text tasks": text_tasks,
    "spoken digits": spoken_digits,
    "recipes": recipes,
    **scoring_tables.TABLES,
    "start-up": startup,
    "metrics": metrics,
    "intervals": intervals,
    "versions": versions,
    "time left": time_left,
    "identity": identity,
    "checkpoints": checkpoints,
    "load": load,
    "attack": attack,
    "damages": damages,
    "keeping": keeping,
    "author's path": authors_path,
}
FRONT = {"results": front_page}
OVERVIEW = {"every recipe": every_recipe}


def updated(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The page with up-to-date tables. Raises ValueError if a table's markers are missing."""
    for name, make_table in tables.items():
        text = put_between(text, *markers(name), make_table())
    return text


def markers(name: str) -> tuple[str, str]:
    """The lines before and after a table."""
    return f"<!-- table: {name}; generated by python benchmarks/tables.py -->", "<!-- end of table -->"


PAGES = {README: TABLES, RECIPES: OVERVIEW, ROOT / "README.md": FRONT}

if __name__ == "__main__":
    for page, tables in PAGES.items():
        page.write_text(updated(page.read_text("utf-8"), tables), encoding="utf-8")
