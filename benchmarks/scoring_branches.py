"""The fastest way to process the continuations of one context: decides where the engine switches.

    python benchmarks/scoring_branches.py --models runs/scoring-models

Three ways compute the same states: ``tree``, the context and all continuations in one row under a mask; ``after``, the
context first, then all continuations without padding after its keys and values; ``copies``, the context first, then one
row per continuation, each with a copy of the keys and values. Times are CPU seconds on one thread, the best of several
rounds in which the ways alternate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scoring_cases import model_folder

from gpttasks.allocator import keep_freed_memory
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine.tree import Block, Group, group_paths
from gpttasks.model.left_padding import PaddedBatch
from gpttasks.model.ragged_attention import forward_ragged
from gpttasks.model.tree_attention import compute_prefix
from gpttasks.tokens.rows import TokenRow

CASES = [(context, 4, 25) for context in (64, 128, 256, 384, 512, 768, 1024, 1536)]
CASES += [(context, 2, 4) for context in (256, 512, 1024)]
CASES += [(256, 4, 100), (512, 4, 100), (512, 2, 200), (512, 4, 200)]


def ways(backbone: Any, context: int, branches: int, length: int) -> dict[str, Callable[[], torch.Tensor]]:
    """The ways to process ``branches`` continuations of ``length`` tokens after ``context`` tokens."""
    size = backbone.causal_lm.get_input_embeddings().weight.shape[0]
    begin = torch.randint(0, size, (context,)).tolist()
    rows = [TokenRow([*begin, *torch.randint(0, size, (length,)).tolist()], context) for _ in range(branches)]
    paths = dict(enumerate(rows))
    tokens = context + branches * (length - 1)
    group = Group(list(paths), context, begin, tokens, context - 1)

    apart = group_paths(paths, [[index] for index in paths])

    def tree() -> torch.Tensor:
        (merged,) = Block(0, [group]).trees_apart(paths)
        return forward_ragged(backbone, [merged.row])

    def after() -> torch.Tensor:
        trees = Block(context - 1, apart).trees_apart(paths)
        cache = compute_prefix(backbone, begin[:-1], context - 1)
        return forward_ragged(backbone, [tree.row for tree in trees], cache)

    def copies() -> torch.Tensor:
        cache = compute_prefix(backbone, begin[:-1], context - 1)
        return PaddedBatch(backbone, [row.ids[:-1] for row in rows], context + length, context - 1, cache, 10**6).logits

    return {"tree": tree, "after": after, "copies": copies}


def best_of(calls: dict[str, Callable[[], torch.Tensor]], rounds: int) -> dict[str, float]:
    """The CPU seconds of each way: the minimum over all rounds."""
    seconds: dict[str, float] = {}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, way in calls.items():
                start = time.process_time()
                way()
                seconds[name] = min(seconds.get(name, 1e9), time.process_time() - start)
    return seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["gpt2", "gpt2-small"])
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_branches.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    keep_freed_memory()
    results: list[dict[str, Any]] = []
    print(f"{'':12} {'context':>8} {'branches':>9} {'tree s':>8} {'after':>8} {'copies':>8}   (of the tree's time)")
    for shape in arguments.shapes:
        backbone = HuggingFace(HuggingFaceOptions(path=str(model_folder(shape, arguments.models))))
        backbone.load(LoadSettings())
        for context, branches, length in CASES:
            print(f"{shape} {context} {branches}x{length}", file=sys.stderr)
            seconds = best_of(ways(backbone, context, branches, length), arguments.rounds)
            results.append({"shape": shape, "context": context, "branches": branches, "length": length, **seconds})
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
            print(
                f"{shape:12} {context:8} {f'{branches} x {length}':>9} {seconds['tree']:8.4f}"
                f" {seconds['after'] / seconds['tree']:8.2f} {seconds['copies'] / seconds['tree']:8.2f}"
            )


if __name__ == "__main__":
    main()
