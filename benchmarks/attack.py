"""A campaign of attacks on runs, files and processes, with counts.

    python benchmarks/attack.py                        # the whole campaign, at most an hour on two cores
    python benchmarks/attack.py --areas recipes=200    # one area, with another number of attacks

Each attack is chosen by a random generator with a fixed seed. A command that is attacked must end with the result of
an undisturbed one, refuse with a message, or report what it found: no silence, no traceback, nothing over 20 seconds,
and no foreign code. Every outcome is a line in a file of ``--work``: the same command goes on where it was stopped.
Prints the counts by area and each attack that succeeded, and exits with 1 if there is one. Needs a POSIX system.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from attack_data import data_files
from attack_folders import ACCEPTED, Attack, Outcome, Stories, damaged_finished, damaged_unfinished, kills, run_folders
from attack_hostile import hostile
from attack_process import warm_up
from attack_recipes import recipes
from forked import LIMIT
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

RESULTS = Path(__file__).parent / "results" / "attack.json"
AREAS: dict[str, tuple[int, Callable[[Stories, int], Iterator[tuple[str, Attack]]]]] = {
    "kills": (150, kills),
    "unfinished runs": (200, damaged_unfinished),
    "finished runs": (200, damaged_finished),
    "hostile": (300, hostile),
    "recipes": (5000, recipes),
    "data files": (5000, data_files),
    "run folders": (3000, run_folders),
}
"""Each area with its number of attacks; for kills, that of random moments, beside all file events."""
ENOUGH = 3 * LIMIT  # seconds after which an attack, with all its commands, is ended


def main() -> None:
    """Carry out what is left of the campaign, print the counts and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--areas", nargs="+", metavar="AREA[=N]", default=list(AREAS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill at every Nth file event only")
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "gpttasks-attack")
    parser.add_argument("--only", help="carry out the attack with this name again, and print its outcome")
    arguments = parser.parse_args()
    counts = dict(_area(parser, text) for text in arguments.areas)
    found = campaign(counts, arguments)
    print_counts(found)
    whole = counts == {name: count for name, (count, _) in AREAS.items()}
    if whole and arguments.only is None and arguments.every == 1:
        RESULTS.write_text(json.dumps(_summary(found, arguments.seed), indent=2) + "\n")
    sys.exit(any(line["verdict"] not in ACCEPTED for lines in found.values() for line in lines))


def _area(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if name not in AREAS or (count and not count.isdecimal()):
        parser.error(f"expected one of {', '.join(AREAS)}, and a number of attacks after =; got {text!r}")
    return name, int(count or AREAS[name][0])


def campaign(counts: Mapping[str, int], options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The outcomes by area: those that an earlier campaign has left in ``--work``, and the others, carried out now."""
    work: Path = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    warm_up(work)
    stories = Stories(work)
    found = {}
    for area, count in counts.items():
        attacks = dict(kills(stories, count, options.every) if area == "kills" else AREAS[area][1](stories, count))
        log = work / f"{area} {options.seed}.jsonl"
        if options.only is not None:
            attacks = {name: attack for name, attack in attacks.items() if name == options.only}
            log = work / "only.jsonl"
            log.unlink(missing_ok=True)
        done = {line["name"] for line in _lines(log)}
        waiting = [name for name in attacks if name not in done]
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(area, total=len(attacks), completed=len(attacks) - len(waiting))
            _work_off(waiting, attacks, f"{options.seed} {area}", options.jobs, work, log, partial(bar.advance, task))
        lines = {line["name"]: line for line in _lines(log)}
        found[area] = [lines[name] for name in attacks]
    return found


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []


def _work_off(
    names: list[str],
    attacks: Mapping[str, Attack],
    seed: str,
    jobs: int,
    work: Path,
    log: Path,
    advance: Callable[[int], None],
) -> None:
    """Carry out attacks in ``jobs`` processes; one that hangs is ended, recorded and replaced."""
    shares = [_Share(names[number::jobs], work / f"place-{number}") for number in range(jobs)]
    before = 0
    while any(share.waiting for share in shares):
        for share in shares:
            share.keep_going(attacks, seed, log)
        done = sum(share.done for share in shares)
        advance(done - before)
        before = done
        time.sleep(0.05)


class _Share:
    """The attacks of one process: which are left, and since when the process has been at the first of them."""

    def __init__(self, names: list[str], place: Path) -> None:
        self.waiting, self.place, self.done = names, place, 0
        self._process: int | None = None
        self._since = 0.0

    def keep_going(self, attacks: Mapping[str, Attack], seed: str, log: Path) -> None:
        """Start the process if there is none, and take note of what it has ended."""
        if not self.waiting:
            return
        if self._process is None:
            self._start(attacks, seed, log)
        if select.select([self._pipe], [], [], 0)[0] and (ended := os.read(self._pipe, 4096)):
            for _ in ended:
                self._next()
        elif self._is_dead() or time.monotonic() - self._since > ENOUGH:
            self._end(log)
        if not self.waiting and self._process is not None:
            self._close()

    def _start(self, attacks: Mapping[str, Attack], seed: str, log: Path) -> None:
        read, write = os.pipe()
        self._process, self._pipe, self._since = os.fork(), read, time.monotonic()
        if self._process == 0:
            try:
                for name in self.waiting:
                    try:
                        outcome = attacks[name](Random(f"{seed} {name}"), self.place)
                    except Exception as error:  # a fault of the campaign
                        outcome = Outcome("", "campaign", f"{type(error).__name__}: {error}")
                    _write(log, name, outcome)
                    os.write(write, b".")
            finally:
                os._exit(0)
        os.close(write)

    def _next(self) -> None:
        del self.waiting[0]
        self.done += 1
        self._since = time.monotonic()

    def _is_dead(self) -> bool:
        return os.waitpid(self._process or 0, os.WNOHANG)[0] != 0

    def _end(self, log: Path) -> None:
        """Record that an attack has hung or ended its process; another process takes the next attack."""
        hung = time.monotonic() - self._since > ENOUGH
        _write(log, self.waiting[0], Outcome("", "slow" if hung else "crash", "the process of the campaign ended"))
        self._close()
        self._next()

    def _close(self) -> None:
        if self._process is not None:
            try:
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            os.close(self._pipe)
        self._process = None


def _write(log: Path, name: str, outcome: Outcome) -> None:
    line = json.dumps({"name": name, **asdict(outcome)}) + "\n"
    with open(log, "a", encoding="utf-8") as out:
        out.write(line)


def print_counts(found: Mapping[str, list[dict[str, Any]]]) -> None:
    """The counts by area and verdict, and each attack that succeeded."""
    for area, lines in found.items():
        verdicts = Counter(line["verdict"] for line in lines)
        print(f"{area:16} {len(lines):6,}  {', '.join(f'{word} {count:,}' for word, count in verdicts.most_common())}")
    for lines in found.values():
        for line in lines:
            if line["verdict"] not in ACCEPTED:
                print(f"{line['verdict'].upper()}: {line['name']}: {line['attack']}: {line['message']}")


def _summary(found: Mapping[str, list[dict[str, Any]]], seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "areas": {area: dict(Counter(line["verdict"] for line in lines)) for area, lines in found.items()},
    }


if __name__ == "__main__":
    main()
