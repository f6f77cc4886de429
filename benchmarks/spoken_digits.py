"""Spoken digits from audio: runs with three heads, and a classical model on the same features.

    python benchmarks/spoken_digits.py --data DATA/spoken_digits --runs RUN RUN RUN

The classical model is scikit-learn's logistic regression on the mean and standard deviation of each log-mel band in
eight equal parts of each recording. All intervals come from the same bootstrap over speakers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpttasks
from gpttasks.data.media import media_of
from gpttasks.encoders.audio.log_mel import LogMel
from gpttasks.metrics.intervals import interval_of

PARTS = 8


def features(encoder: LogMel, rows: list[dict[str, Any]]) -> np.ndarray:
    """[rows, 2 * PARTS * mels]: mean and spread of each band in each part of a recording."""
    rows_of_features = []
    for row in rows:
        frames = encoder._features(media_of(row["audio"])).numpy()
        parts = np.array_split(frames, PARTS)
        rows_of_features.append(np.concatenate([value for part in parts for value in (part.mean(0), part.std(0))]))
    return np.stack(rows_of_features)


def main() -> None:
    """Fit and score the classical model, and print a table with the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/spoken_digits.json"))
    arguments = parser.parse_args()
    train, test = (pq.read_table(arguments.data / f"{split}.parquet").to_pylist() for split in ("train", "test"))
    encoder = LogMel()
    encoder.bind(1)
    start = time.perf_counter()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(features(encoder, train), [row["label"] for row in train])
    right = model.predict(features(encoder, test)) == [row["label"] for row in test]
    seconds = time.perf_counter() - start
    speakers = [row["speaker"] for row in test]
    interval = interval_of(right.astype(float)[:, None], lambda rows: float(rows.mean()), "share", groups=speakers)
    results: dict[str, Any] = {"logistic regression accuracy": {"value": float(right.mean()), "seconds": seconds}}
    results["logistic regression accuracy"] |= {"low": interval.low, "high": interval.high, "groups": interval.groups}
    for folder in arguments.runs:
        run = gpttasks.read_run(folder)
        for key, score in run.scores.items():
            results[f"{run.document['name']} {key}"] = {
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "groups": score.groups,
                "time": run.document["time"],
                "memory": run.document["memory"],
            }
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    for name, one in results.items():
        print(f"{name:40} {one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})")


if __name__ == "__main__":
    main()
