"""Damages to everything that a run leaves or depends on, each followed by a whole command: which are noticed?

    python benchmarks/damages.py [--only WORD] [--again] [--folder DIR]

More than 750 damages, invented by someone who had not read the mechanisms that should notice them, and 74 of an
older list. After each of them, one command is carried out in a copy of the same folder, in a forked child of one
process that has imported everything. Its outcome is NOTICED (refused with the cause, or the right result with a
warning that names the cause), HELD (exactly the undisturbed result), SILENT (exit 0, and the result differs or the
damage was hidden), UNNAMED (refused, but the message does not name the damaged file), FAILED (exit 1 with a
message), TRACEBACK or SLOW (more than 20 seconds). A damage says what is acceptable.

Each outcome is appended to a file of JSON Lines in the folder, and an interrupted campaign goes on there.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import damage_adapters
import damage_base
import damage_cache
import damage_checkpoints
import damage_code
import damage_data
import damage_finished
import damage_listed
import damage_unfinished
import damage_world
import forked
from damage_outcomes import COMMANDS, Command, Outcome, judge
from damage_process import KillAt, carry_out
from damage_tools import Damage
from result_files import RESULTS

MODULES = (
    damage_checkpoints,
    damage_unfinished,
    damage_base,
    damage_code,
    damage_data,
    damage_finished,
    damage_adapters,
    damage_cache,
    damage_listed,
)
# Each run of the folder: its recipe, its folder, and when it is killed.
RUNS = (
    ("tiny", "finished", None),
    ("tiny", "unfinished", KillAt("last.safetensors", 4)),
    ("other", "other", None),
    ("other", "other_unfinished", KillAt("last.safetensors", 4)),
    ("full", "full", None),
    ("speech", "speech", None),
    ("speech", "speech_unfinished", KillAt("last.safetensors", 2)),
    ("film", "film", None),
    ("film", "film_unfinished", KillAt("last.safetensors", 2)),
    ("tuned", "tuned", None),
    ("words", "words", None),
    ("answers", "answering", KillAt("answering/replies.sqlite", 0)),
)


def make(folder: Path) -> None:
    """Make the folder ``kept`` with all runs, if it is not there, and import what they import."""
    live, kept, modules = folder / "live", folder / "kept", folder / "modules.txt"
    if not kept.exists():
        live.mkdir(parents=True)
        if (process := os.fork()) == 0:
            damage_world.build(live)
            os._exit(0)
        if os.waitpid(process, 0)[1]:
            sys.exit("the models could not be made")
        for recipe, out, kill in RUNS:
            arguments = [
                "run",
                f"{recipe}.yaml",
                "--out",
                out,
                *(["--plugin", "plug/film.py"] if recipe == "film" else []),
            ]
            ended = carry_out(
                arguments, live, kill=kill, modules=None if kill else modules, limit=120, cache=out == "words"
            )
            if ended.status != (-9 if kill else 0):
                sys.exit(f"{out}: exit {ended.status}\n{ended.stderr}")
            if out == "finished":
                forked.import_modules(modules)
        live.rename(kept)
    forked.import_modules(modules)


def restore(folder: Path) -> Path:
    """The undamaged folder."""
    live = folder / "live"
    if live.exists():
        for path in [live, *live.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(live)
    shutil.copytree(folder / "kept", live, symlinks=True)
    return live


def undisturbed(folder: Path, known: dict[str, Outcome], command: str) -> Outcome:
    """What a command gives without a damage."""
    if command not in known:
        known[command] = outcome_of(COMMANDS[command], restore(folder))
        if known[command].ended.status != 0:
            sys.exit(f"{command}: {known[command].ended.stderr}")
    return known[command]


def outcome_of(command: Command, live: Path, user: bool = False) -> Outcome:
    ended = carry_out(command.arguments, live, cache=command.cache, user=user)
    result: dict[str, str] = {}
    if ended.status == 0:
        try:
            result = dict(command.result(live, ended))
        except (OSError, ValueError, KeyError, TypeError) as error:
            result = {"result": f"cannot be read: {type(error).__name__}: {error}"}
    return Outcome(ended, result)


def inflict(damage: Damage, folder: Path, known: dict[str, Outcome]) -> dict[str, Any]:
    """Do one damage, carry out its command, and judge."""
    command, right = COMMANDS[damage.command], undisturbed(folder, known, damage.command)
    live = restore(folder)
    if damage.before:
        first = carry_out(COMMANDS[damage.before].arguments, live, cache=command.cache)
        if first.status != 0:
            raise RuntimeError(f"{damage.name}: {damage.before}: {first.stderr}")
    damage.do(live)
    outcome = outcome_of(command, live, damage.user)
    verdict, text = judge(damage, right, outcome)
    executed = any(True for _ in live.rglob("executed.txt"))
    return {
        "name": damage.name,
        "area": damage.area,
        "outcome": "EXECUTED" if executed else verdict,
        "accepted": verdict in damage.accept and not executed,
        "expected": sorted(damage.accept),
        "why": damage.why,
        "text": text,
        "seconds": round(outcome.ended.seconds, 2),
    }


def damages() -> list[Damage]:
    """All of them; their names are unique."""
    found = [damage for module in MODULES for damage in module.damages()]
    double = [name for name, times in collections.Counter(damage.name for damage in found).items() if times > 1]
    if double:
        raise ValueError(f"damages of the same name: {double}")
    return found


def campaign(folder: Path, chosen: list[Damage]) -> list[dict[str, Any]]:
    """Carry out the damages that have no outcome yet, and return the outcomes of all."""
    log = folder / "outcomes.jsonl"
    done = {line["name"]: line for line in map(json.loads, log.read_text("utf-8").splitlines())} if log.exists() else {}
    make(folder)
    known: dict[str, Outcome] = {}
    started = time.monotonic()
    with open(log, "a", encoding="utf-8") as file:
        for number, damage in enumerate(chosen, 1):
            if damage.name in done:
                continue
            line = inflict(damage, folder, known)
            done[damage.name] = line
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            mark = "  " if line["accepted"] else "!!"
            print(
                f"{number}/{len(chosen)} {time.monotonic() - started:4.0f} s {mark} {line['outcome']:9} {damage.name}"
            )
            if not line["accepted"]:
                print(f"        {line['text'][:500]}")
            sys.stdout.flush()
    return [done[damage.name] for damage in chosen]


def shortened(text: str) -> str:
    """The last lines of what a command printed, without the lines of a traceback and the folder of this machine."""
    lines = [line for line in text.splitlines() if not line.startswith((" ", "exit 1: ine", "exit 1: allback"))]
    return re.sub(r"\S*/live/", "", "\n".join(lines[-3:]))[-400:]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by area, and what was not acceptable."""
    areas: dict[str, collections.Counter[str]] = {}
    for line in lines:
        areas.setdefault(line["area"], collections.Counter())[line["outcome"]] += 1
    return {
        "damages": len(lines),
        "minutes": round(sum(line["seconds"] for line in lines) / 60, 1),
        "areas": {name: dict(sorted(counts.items())) for name, counts in areas.items()},
        "not_acceptable": [
            {"text": shortened(line["text"]), **{key: line[key] for key in ("name", "area", "outcome", "expected")}}
            for line in lines
            if not line["accepted"]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only damages whose area or name contains this")
    parser.add_argument("--again", action="store_true", help="forget earlier outcomes")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gpttasks-damages")
    options = parser.parse_args()
    if options.again:
        shutil.rmtree(options.folder, ignore_errors=True)
    chosen = [damage for damage in damages() if options.only in f"{damage.area}: {damage.name}"]
    result = summary(campaign(options.folder.resolve(), chosen))
    for area, counts in result["areas"].items():
        print(f"{area:20} {sum(counts.values()):4}  " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for line in result["not_acceptable"]:
        print(f"{line['outcome']}: {line['name']}\n    {line['text']}")
    if not options.only:
        (RESULTS / "damages.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
