"""Time and memory of reading a large file of which ``score.limit`` chooses few rows; prints a table.

Run it with ``python benchmarks/load.py [ROWS ...]``. Each file is read in a process by itself, whose peak is measured.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpttasks.component import Options
from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.example import Example
from gpttasks.tasks.splits import load_examples
from gpttasks.tasks.task import Task
from gpttasks.tasks.template import Template

RESULTS = Path(__file__).parent / "results" / "load.json"
LIMIT = 200


class Sentences(Task):
    """A prompt of one column and the number of a class, as classification has."""

    name = "sentences"
    columns = frozenset({"text"})
    answer_columns = frozenset({"label"})
    input_columns = frozenset({"text"})

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.template = Template("{{ text }} =")

    def example(self, row: Row) -> Example:
        """The row's prompt with two choices."""
        return Example(self.template.render(row), choices=("a", "b"), label=row["label"])


def write(file: Path, rows: int) -> None:
    """Write a file of JSON Lines with that number of rows."""
    with file.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            row = {"text": f"this is sentence number {number} of a large file", "label": number % 2, "x": number * 3}
            stream.write(json.dumps(row) + "\n")


def measure(file: Path) -> dict[str, object]:
    """Read the file as a run does: seconds, the peak of memory in MiB, and the digest of what was chosen."""
    began = time.perf_counter()
    part = load_examples(Sentences(Options()), DataOptions(path=str(file)), ["train"], seed=1, limits={"train": LIMIT})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
    seconds = round(time.perf_counter() - began, 1)
    return {"rows": part["train"].rows, "seconds": seconds, "mib": peak, "digest": part["train"].digest[:12]}


def main(counts: list[int]) -> None:
    """Measure each number of rows, print a table and write the results."""
    results = []
    print("| rows | seconds | MiB |\n| ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for rows in counts:
            file = Path(folder) / f"{rows}.jsonl"
            write(file, rows)
            child = subprocess.run([sys.executable, __file__, str(file)], check=True, capture_output=True, text=True)
            results.append(json.loads(child.stdout))
            print(f"| {rows:,} | {results[-1]['seconds']} | {results[-1]['mib']} |", flush=True)
    RESULTS.write_text(json.dumps({"limit": LIMIT, "results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].endswith(".jsonl"):
        print(json.dumps(measure(Path(sys.argv[1]))))
    else:
        main([int(one) for one in sys.argv[1:]] or [100_000, 1_000_000])
