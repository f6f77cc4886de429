"""The effort from ``gpttasks new plugin`` to a scored run of a new task, a new metric and a new head.

    taskset -c 1 python benchmarks/authors_path.py
    taskset -c 1 python benchmarks/authors_path.py --renew      # also updates the table in the manual

Follows the author's manual, ``plugins/README.md``, in a separate environment. For each section, counts the commands
from ``gpttasks new plugin`` to the first ``gpttasks run``, the lines in which the author's files differ from the
generated ones (without blank lines; rows of data are counted separately), and the time of the commands: wall time, and
CPU time, which depends less on other work on the machine.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for the steps of the manual's test

from authors_manual import MANUAL, Commands, Shell, Written, fresh_environment, steps  # noqa: E402

from gpttasks.markdown import put_between  # noqa: E402

BEGIN = "<!-- counts: made by python benchmarks/authors_path.py --renew -->"
END = "<!-- end of counts -->"
HEADER = (
    "| a new | commands | lines of code | rows of data | minutes by the clock | of the processor |",
    "|---|---|---|---|---|---|",
)
SECTIONS = {"A task": "task", "A metric": "metric", "A head": "head"}


@dataclass
class Way:
    """One way through the manual: the commands to type and the files to write."""

    what: str
    steps: list[str | Written] = field(default_factory=list)

    @property
    def commands(self) -> list[str]:
        """The commands to type."""
        return [step for step in self.steps if isinstance(step, str)]


def ways(manual: str) -> list[Way]:
    """The way of each section in the manual, from ``gpttasks new plugin`` to the first ``gpttasks run``."""
    ways_found = []
    for section, name in SECTIONS.items():
        section_steps: list[str | Written] = []
        for step in steps(manual):
            if step.section == section:
                section_steps += step.commands if isinstance(step, Commands) else [step]
        commands = [isinstance(step, str) and step for step in section_steps]
        first = next(place for place, line in enumerate(commands) if line and line.startswith("gpttasks new plugin"))
        last = next(place for place, line in enumerate(commands) if line and line.startswith("gpttasks run"))
        ways_found.append(Way(name, section_steps[first : last + 1]))
    return ways_found


def walk(way: Way, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Take the steps of a way in a folder. Raises RuntimeError for a command that fails."""
    shell = Shell(folder, variables)
    lines = {"lines": 0, "rows": 0}
    timed: list[dict[str, Any]] = []
    for step in way.steps:
        if isinstance(step, Written):
            lines[counted_as(step)] += lines_by_hand(step, shell.folder)
            step.write(shell.folder)
            continue
        took = shell.type(step)
        if took.status:
            raise RuntimeError(f"`{step}` ended with {took.status}:\n{took.output}")
        timed.append({"command": step, "wall_s": round(took.wall, 2), "processor_s": round(took.processor, 2)})
    seconds = {name: round(sum(one[name] for one in timed), 1) for name in ("wall_s", "processor_s")}
    return {"commands": len(timed), **lines, **seconds, "timed": timed}


def lines_of(way: Way, folder: Path) -> tuple[int, int]:
    """The number of lines of code and of rows of data that a way adds to a newly generated package."""
    lines = {"lines": 0, "rows": 0}
    for step in way.steps:
        if isinstance(step, Written):
            lines[counted_as(step)] += lines_by_hand(step, folder)
            step.write(folder)
    return lines["lines"], lines["rows"]


def counted_as(step: Written) -> str:
    """``rows`` of data or ``lines`` of code."""
    return "rows" if step.file.endswith(".jsonl") else "lines"


def lines_by_hand(step: Written, folder: Path) -> int:
    """The number of lines that a file does not have yet, without blank lines."""
    before = (folder / step.file).read_text("utf-8").splitlines()
    after = [*before, *step.text.splitlines()] if step.at_end else step.text.splitlines()
    return sum(line.startswith("+ ") and bool(line[2:].strip()) for line in difflib.ndiff(before, after))


def table_row(what: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    minutes = f"{row['wall_s'] / 60:.1f} | {row['processor_s'] / 60:.1f}"
    return f"| {what} | {row['commands']} | {row['lines']} | {row['rows']} | {minutes} |"


def main() -> None:
    """Follow the manual, count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "authors_path.json")
    parser.add_argument("--renew", action="store_true", help="put the table into the manual")
    arguments = parser.parse_args()
    load = [round(os.getloadavg()[1], 1)]
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        variables = fresh_environment(Path(scratch) / "environment")
        for way in ways(MANUAL.read_text("utf-8")):
            folder = Path(scratch) / way.what
            folder.mkdir()
            results[way.what] = walk(way, folder, variables)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    load.append(round(os.getloadavg()[1], 1))
    document = {"gpttasks": version("gpttasks"), "python": sys.version.split()[0], "load": load, "ways": results}
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")
    table = "\n".join([*HEADER, *(table_row(what, row) for what, row in results.items())])
    print(f"{table}\n\nload of the machine before and after: {load[0]}, {load[1]}")
    if arguments.renew:
        MANUAL.write_text(put_between(MANUAL.read_text("utf-8"), BEGIN, END, table), encoding="utf-8")


if __name__ == "__main__":
    main()
