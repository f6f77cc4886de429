"""What it costs to keep replies: the same requests answered with and without the cache, in alternating pairs.

``python benchmarks/keeping.py [--pairs N] [--before CHECKOUT]`` writes ``results/keeping.json``. The time is that of
the processor, which other processes on the machine change little. Each run gets a new file. With ``--before``, runs
with the cache alternate with those of another checkout, each in a process by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.nano import Nano, NanoOptions
from gpttasks.engine import cache
from gpttasks.engine.cache import CachedEngine
from gpttasks.engine.shared import engine_for
from gpttasks.example import as_prompt
from gpttasks.requests import Generate, LogLikelihood, Request

RESULTS = Path(__file__).parent / "results" / "keeping.json"
WORDS = ("the", "a", "film", "was", "good", "bad", "long", "of", "and", "in", "it", "is", "very", "not", "but", "story")


def reviews(count: int) -> list[Request]:
    """Two options after each of some prompts of about 150 tokens, as a classification with prompts asks."""
    draw = random.Random(1)
    texts = [" ".join(draw.choices(WORDS, k=140)) + f" {number}." for number in range(count)]
    options = (" good", " bad")
    return [LogLikelihood(prompt, one, options) for prompt in map(as_prompt, texts) for one in options]


def many_options(count: int) -> list[Request]:
    """Many short options after one short prompt: the least work of a model for each reply."""
    prompt, options = as_prompt("Which number? Number"), tuple(f" {number}" for number in range(count))
    return [LogLikelihood(prompt, one, options) for one in options]


def texts(count: int) -> list[Request]:
    """Texts of up to 100 tokens."""
    return [Generate(as_prompt(f"Once there was a number {number}"), 100) for number in range(count)]


WORK: dict[str, list[Request]] = {
    "two options, 150 tokens": reviews(1400),
    "many short options": many_options(30_000),
    "texts of 100 tokens": texts(500),
}


class Keeping:
    """Counts the processor time in the methods that make keys, and that read, pass on and write replies."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    def watch(self, owner: type, name: str) -> Any:
        """A patch of the method so that its time is counted, once where such methods call each other."""
        method = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            if self._inside:
                return method(*arguments)
            self._inside, began = True, time.process_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.process_time() - began
                self._inside = False

        return patch.object(owner, name, counted)


def share(requests: Sequence[Request], backbone: Any) -> float:
    """The share of the processor time in which replies are kept and not computed: less noise than two runs have."""
    from gpttasks.engine.reply_store import ReplyStore  # not in the checkout of before

    keeping = Keeping()
    methods = [(CachedEngine, "key"), (CachedEngine, "_known"), (cache._Keeper, "finished"), (cache._Keeper, "write")]
    with ExitStack() as stack:
        for owner, name in [*methods, (ReplyStore, "done"), (ReplyStore, "report_live")]:
            stack.enter_context(keeping.watch(owner, name))
        whole = seconds(requests, True, backbone)
    return keeping.seconds / whole


def seconds(requests: Sequence[Request], kept: bool, backbone: Any) -> float:
    """The processor time to answer the requests, with or without a new file for the replies."""
    engine = engine_for(backbone, None, 2048)
    with tempfile.TemporaryDirectory() as folder:
        asked = CachedEngine(engine, {"model": "nano"}, Path(folder) / "replies.sqlite") if kept else engine
        began = time.process_time()
        asked.answer(requests, lambda done, tokens: None)
        return time.process_time() - began


def loaded() -> Nano:
    """The small model."""
    backbone = Nano(NanoOptions())
    backbone.load(LoadSettings())
    return backbone


def measured(values: Sequence[float]) -> dict[str, float]:
    """The median of some ratios, and the lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def with_and_without(pairs: int) -> dict[str, Any]:
    """By kind of work: the seconds without the cache, and the ratio of those with it."""
    backbone, results = loaded(), {}
    for name, requests in WORK.items():
        seconds(requests[: len(requests) // 20], True, backbone)  # the first use of everything takes longer
        runs = []
        for number in range(pairs):
            order = (False, True) if number % 2 else (True, False)
            runs.append({kept: seconds(requests, kept, backbone) for kept in order})
            print(name, runs[-1], flush=True)
        results[name] = {
            "requests": len(requests),
            "seconds": statistics.median(run[False] for run in runs),
            "share": share(requests, backbone),
            "ratio": measured([run[True] / run[False] for run in runs]),
        }
    return results


def in_checkout(checkout: Path, name: str) -> float:
    """The seconds with the cache in another process that imports gpttasks from a checkout."""
    environment = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'plugins'}"}
    command = [sys.executable, __file__, "--once", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def beside(before: Path, pairs: int, results: dict[str, Any], names: set[str]) -> None:
    """Add the ratio of this checkout's seconds with the cache to those of another checkout."""
    here = Path(__file__).parents[1]
    for name in sorted(names):
        ratios = []
        for number in range(pairs):
            order = (before, here) if number % 2 else (here, before)
            took = {checkout: in_checkout(checkout, name) for checkout in order}
            ratios.append(took[here] / took[before])
            print(name, took, flush=True)
        results[name]["before"] = measured(ratios)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--without", action="append", default=[], choices=WORK, help="not beside the other checkout")
    parser.add_argument("--once", choices=WORK)
    options = parser.parse_args()
    if options.once:
        backbone = loaded()
        seconds(WORK[options.once][:50], True, backbone)
        print(seconds(WORK[options.once], True, backbone))
        return
    results = with_and_without(options.pairs)
    if options.before:
        beside(options.before.resolve(), options.pairs, results, set(WORK) - set(options.without))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
