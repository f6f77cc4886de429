"""What it costs that a checkpoint carries a checksum and is flushed to the disk.

    python benchmarks/checkpoints.py --models MODELS [--rounds 5] [--folder FOLDER]

Saves the state of a training with Adam's moments, of all weights of SmolLM2 (MODELS/smollm2, 135M parameters in fp32)
and of a LoRA adapter of rank 8 on all its linear layers: as it is, without the checksum, without fsync, and without
both. The variants alternate, and a round begins with each of them in turn. Prints the seconds for a checkpoint and
writes JSON. Files are written in FOLDER, by default that for temporary files, which needs 4 GB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from gpttasks import files
from gpttasks.training import checkpoint
from gpttasks.training.kept_states import KeptStates
from gpttasks.training.state import TrainingState

RESULTS = Path(__file__).parent / "results" / "checkpoints.json"
VARIANTS = {"as it is": (), "no checksum": ("checksum",), "no fsync": ("fsync",), "neither": ("checksum", "fsync")}


@contextmanager
def without(parts: tuple[str, ...]) -> Iterator[None]:
    """Leave these parts of saving a checkpoint out."""
    with ExitStack() as stack:
        if "checksum" in parts:
            stack.enter_context(mock.patch.object(checkpoint, "_checksum", return_value="0" * 64))
        if "fsync" in parts:
            for module in (checkpoint, files):
                stack.enter_context(mock.patch.object(module, "flush"))
        yield


def trained(folder: Path, adapted: bool) -> tuple[dict[str, torch.nn.Parameter], torch.optim.Optimizer]:
    """The trained parameters of a model after a step with random gradients, and their optimiser."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapted:
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    parameters = checkpoint.trained_parameters(model, None)
    optimizer = torch.optim.AdamW(parameters.values(), foreach=False)
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return parameters, optimizer


def measure(model: Path, adapted: bool, rounds: int, folder: Path) -> dict[str, object]:
    """The seconds of each save by variant, and the size of a checkpoint in bytes."""
    parameters, optimizer = trained(model, adapted)
    kept = KeptStates(folder, "benchmark", parameters, {}, optimizer)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    names = list(VARIANTS)
    step = 0
    for number in range(rounds + 1):
        for name in names[number % 4 :] + names[: number % 4]:
            step += 1
            with without(VARIANTS[name]):
                start = time.perf_counter()
                kept.save(TrainingState(step=step))
                elapsed = time.perf_counter() - start
            for file in folder.iterdir():  # so that no variant waits for what another one left to be written
                files.flush(file)
            if number:  # the first round warms up
                seconds[name].append(elapsed)
    return {"bytes": (folder / checkpoint.LAST).stat().st_size, "seconds": seconds}


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    found = {}
    for what, adapted in (("all weights", False), ("LoRA, rank 8", True)):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            found[what] = measure(options.models / "smollm2", adapted, options.rounds, Path(name))
        print(what, json.dumps(found[what]), flush=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
