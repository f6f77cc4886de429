"""The gain from keeping freed memory: the same training steps with and without it, in pairs of processes.

    python benchmarks/allocator.py --pairs 5

Trains a GPT-2 with nano's shape on random tokens. Prints tokens per second, the ratio of each pair, and the share of
CPU time that is spent in the kernel.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def measure(keep: bool, steps: int) -> dict[str, float]:
    """Tokens per second of ``steps`` training steps in this process, and the share of CPU time in the kernel."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from gpttasks.allocator import keep_freed_memory

    if keep:
        keep_freed_memory()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=6800, n_embd=192, n_layer=3, n_head=3, n_positions=512))
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(0, 6800, (4, 512))
    start, before = 0.0, resource.getrusage(resource.RUSAGE_SELF)
    for step in range(steps + 2):
        if step == 2:  # the first steps warm up
            start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
    kernel, user = after.ru_stime - before.ru_stime, after.ru_utime - before.ru_utime
    return {"tokens_per_second": steps * ids.numel() / seconds, "kernel_share": kernel / (kernel + user)}


def main() -> None:
    """Run the pairs and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/allocator.json"))
    parser.add_argument("--one", choices=["default", "kept"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one == "kept", arguments.steps)))
        return
    rows: dict[str, list[dict[str, float]]] = {"default": [], "kept": []}
    for _ in range(arguments.pairs):
        for name, runs in rows.items():
            command = [sys.executable, __file__, "--one", name, "--steps", str(arguments.steps)]
            runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2) + "\n")
    for name, runs in rows.items():
        speed = statistics.median(row["tokens_per_second"] for row in runs)
        share = statistics.median(row["kernel_share"] for row in runs)
        print(f"{name:8} {speed:8,.0f} tokens/s   {share:5.1%} of the CPU time in the kernel")
    pairs = zip(rows["kept"], rows["default"], strict=True)
    ratios = [kept["tokens_per_second"] / default["tokens_per_second"] for kept, default in pairs]
    print(f"ratio    {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
