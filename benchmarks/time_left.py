"""Is the time left, as the progress of scoring shows it, right after a tenth of the work?

    python benchmarks/time_left.py --data DATA --models MODELS

For each run, the predicted time left after 10, 30 and 50 % of the tokens (read or, in generation, written), divided by
the time that was really left. MODELS holds smollm2, a folder as transformers saves it; without it, its rows are left
out. Writes JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import gpttasks
from gpttasks.pipeline import answering
from gpttasks.progress import Progress

RUNS: dict[str, list[str]] = {
    "one long text in windows": [
        "wikitext2-perplexity",
        "backbone=nano",
        "task.data={{path: {data}/wikitext2}}",
        'task.join="\\n"',
        "head.stride=256",
    ],
    "options of texts of 50 to 1,000 words": [
        "imdb-zero-shot",
        "backbone=nano",
        "task.data.path={data}/imdb",
        "score.limit=1500",
    ],
    "options after 16 shots": ["sst2-few-shot", "backbone=nano", "task.data.path={data}/sst2"],
    "generation after captions": [
        "translation-few-shot",
        "backbone=nano",
        "task.data.path={data}/multi30k",
    ],
    "generation after passages of different length": [
        "squad-generate",
        "backbone=nano",
        "task.data={{path: {data}/squad}}",
        "adapt=none",
        "train=null",
    ],
    "options, SmolLM2": [
        "imdb-zero-shot",
        "backbone={models}/smollm2",
        "task.data.path={data}/imdb",
        "score.limit=60",
    ],
    "generation, SmolLM2": [
        "translation-few-shot",
        "backbone={models}/smollm2",
        "task.data.path={data}/multi30k",
        "score.limit=60",
    ],
}
SHARES = (0.1, 0.3, 0.5)


class Recorded(Progress):
    """Remembers at each step the tokens and the seconds so far, and the seconds left that the progress shows."""

    seen: ClassVar[list[tuple[int, float, float]]] = []

    def __enter__(self) -> Recorded:
        self.seen.clear()
        super().__enter__()
        return self

    def advance(self, done: int, tokens: int = 0) -> None:
        """See :class:`~gpttasks.progress.Progress`."""
        super().advance(done, tokens)
        seconds_left = self.seconds_left
        if seconds_left is not None:
            self.seen.append((self.tokens, self.seconds, seconds_left))


def measured(overrides: list[str]) -> dict[str, Any]:
    """The ratios of predicted and real time left of one run."""
    recipe, *changes = overrides
    with tempfile.TemporaryDirectory() as folder:
        gpttasks.run(recipe, *changes, "runtime.cache=false", out=Path(folder, "run"))
    tokens, end, _ = Recorded.seen[-1]
    ratios = {}
    for wanted in SHARES:
        seconds, left = next((at, left) for done, at, left in Recorded.seen if done >= wanted * tokens)
        ratios[f"{wanted:.0%}"] = round(left / max(end - seconds, 1e-9), 2)
    return {"seconds": round(end, 1), **ratios}


def main() -> None:
    """Carry out the runs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--rows", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/time_left.json"))
    arguments = parser.parse_args()
    vars(answering)["Progress"] = Recorded
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.rows:
        overrides = [one.format(data=arguments.data, models=arguments.models) for one in RUNS[name]]
        if arguments.models is None and "smollm2" in overrides[1]:
            continue
        results[name] = measured(overrides)
        print(f"{name:48} {results[name]}", flush=True)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
