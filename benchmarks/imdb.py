"""IMDb sentiment: trained and prompted models and two baselines on the same 25,000 test reviews.

    python benchmarks/imdb.py --data DATA/imdb                 # every row
    python benchmarks/imdb.py --data DATA/imdb --rows majority tfidf zero-shot
    python benchmarks/imdb.py --data DATA/imdb --prompted score.limit=5000

Each gpttasks row runs in a separate process, so that its peak memory can be measured. A row that is already finished in
--runs is not repeated. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GPTTASKS_ROWS: dict[str, list[str]] = {
    "lora": ["imdb-lora"],
    "lora-6000": ["imdb-lora", "train.limit=6000", "score.limit=2000"],
    "lora-embeddings": ["imdb-lora", "adapt.targets=[wte,c_attn,c_proj,c_fc]"],
    "classifier": [
        "imdb-classifier",
        "train.limit=10000",
        "train.learning_rate=1e-3",
        "train.tokens_per_step=2048",
        "adapt.targets=[wte,c_attn,c_proj,c_fc]",
    ],
    "zero-shot": ["imdb-zero-shot"],
    "few-shot": ["imdb-zero-shot", "score.shots=2"],
}


def gpttasks_row(name: str, data: Path, runs: Path, backbone: str, overrides: list[str]) -> dict[str, Any]:
    """Run a recipe and read its run.json."""
    recipe, *row_overrides = GPTTASKS_ROWS[name]
    command = [sys.executable, "-m", "gpttasks", "run", recipe, f"backbone={backbone}", f"task.data.path={data}"]
    command += [*row_overrides, *overrides, "runtime.cache=false", "--out", str(runs / f"imdb-{name}"), "--json"]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    run = json.loads(process.stdout)
    score = run["scores"]["accuracy"]
    return {
        "accuracy": score["value"],
        "low": score["low"],
        "high": score["high"],
        "n": score["n"],
        "train": run["samples"]["train"] if run["training"] else 0,
        "truncated": run["samples"]["truncated"],
        "seconds": run["time"]["seconds"],
        "training_seconds": run["time"].get("training"),
        "scoring_seconds": run["time"]["scoring"],
        "peak_memory_mb": round(run["memory"]["process"] / 1e6),
        "command": " ".join(["gpttasks", *command[3:-3]]).replace(str(data), "DATA/imdb"),
        "measure": score["measure"],
    }


def baseline_row(name: str, data: Path) -> dict[str, Any]:
    """Majority class, or TF-IDF with logistic regression, both from scikit-learn."""
    import numpy as np
    import pyarrow.parquet as pq

    from gpttasks.metrics.intervals import interval_of

    start = time.monotonic()
    train, test = (pq.read_table(data / f"{split}.parquet").to_pydict() for split in ("train", "test"))
    if name == "majority":
        values, counts = np.unique(train["label"], return_counts=True)
        predicted = np.full(len(test["label"]), values[counts.argmax()])
    else:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
        model = LogisticRegression(C=10, max_iter=300)
        model.fit(vectorizer.fit_transform(train["text"]), train["label"])
        predicted = model.predict(vectorizer.transform(test["text"]))
    right = (predicted == np.array(test["label"])).astype(float)[:, None]
    interval = interval_of(right, lambda rows: float(rows.mean()), "share")
    row = {"accuracy": float(right.mean()), "low": interval.low, "high": interval.high, "n": len(right)}
    return row | {"train": len(train["label"]), "seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    """Measure the requested rows and print a table."""
    names = ["majority", *GPTTASKS_ROWS, "tfidf"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.parquet and test.parquet")
    parser.add_argument("--rows", nargs="+", choices=names, default=names)
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/imdb.json"))
    parser.add_argument("--trained", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for the trained rows")
    parser.add_argument("--prompted", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for the other rows")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.rows:
        if name in GPTTASKS_ROWS:
            overrides = arguments.prompted if "shot" in name else arguments.trained
            results[name] = gpttasks_row(name, arguments.data, arguments.runs, arguments.backbone, overrides)
        else:
            results[name] = baseline_row(name, arguments.data)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{'':12} {'accuracy':>8}  {'95 % interval':17} {'n':>7} {'trained on':>10} {'seconds':>8} {'peak MB':>8}")
    for name in sorted(results, key=names.index):
        row = results[name]
        interval = f"{row['low']:.4f} – {row['high']:.4f}"
        memory = row.get("peak_memory_mb", "–")
        counts = f"{row['n']:>7,} {row['train']:>10,}"
        print(f"{name:12} {row['accuracy']:8.4f}  {interval:17} {counts} {row['seconds']:8.0f} {memory:>8}")


if __name__ == "__main__":
    main()
