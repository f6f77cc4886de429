"""Generation by the engine and by transformers' continuous batching: the same weights and prompts, one process.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/scoring_continuous.py --data DATA --documents 64

Decoding is greedy and without an end token, so that both generate the same number of tokens. Each pair runs both sides,
in alternating order; times are CPU seconds from prompts to texts. transformers gets memory for all texts at once and
the fastest of several batch sizes. Texts that differ are counted: a near tie can be decided differently when sums are
computed in another order.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from scoring_cases import NEW_TOKENS, case_documents, model_folder
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from gpttasks.allocator import keep_freed_memory
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine.generation import Text
from gpttasks.engine.shared import SharedEngine
from gpttasks.example import as_prompt
from gpttasks.requests import Generate, GenerateReply

BATCHES = (256, 1024, 4096)
"""The tokens per batch that are tried with transformers."""
BLOCK = 32
"""The tokens per block of its cache."""


def with_engine(backbone: HuggingFace, texts: list[str]) -> list[str]:
    """The texts that this engine generates."""
    replies = SharedEngine(backbone).answer([Generate(as_prompt(text), NEW_TOKENS) for text in texts])
    return [reply.text for reply in replies if isinstance(reply, GenerateReply)]


def with_transformers(model: Any, backbone: HuggingFace, texts: list[str], tokens: int) -> list[str]:
    """The texts by a model's continuous batching, in batches of this many tokens; the backbone encodes and decodes."""
    ids = [Text(backbone, Generate(as_prompt(text), NEW_TOKENS), frozenset()).ids for text in texts]
    blocks = sum(-(-(len(row) + NEW_TOKENS) // BLOCK) + 1 for row in ids)
    settings = ContinuousBatchingConfig(page_size=BLOCK, num_blocks=blocks, max_batch_tokens=tokens)
    greedy = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    found = model.generate_batch(ids, generation_config=greedy, continuous_batching_config=settings, progress_bar=False)
    return [backbone.tokenizer.decode(found[f"req_{index}"].generated_tokens) for index in range(len(texts))]


def timed(call: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """The CPU seconds of a call, and its result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with e2e_nlg")
    parser.add_argument("--shape", default="gpt2-small")
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_continuous.json"))
    arguments = parser.parse_args()
    arguments.fresh_shots = False
    torch.set_num_threads(1)
    keep_freed_memory()
    folder = model_folder(arguments.shape, arguments.models)
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    stock = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # with transformers' own attention
    texts = [text for text, _ in case_documents("e2e_nlg:0", arguments, folder)["texts"]]
    tried = {size: timed(partial(with_transformers, stock, backbone, texts, size))[0] for size in BATCHES}
    best = min(tried, key=lambda size: tried[size])
    sides: dict[str, Callable[[], list[str]]] = {
        "gpttasks": lambda: with_engine(backbone, texts),
        "transformers": lambda: with_transformers(stock, backbone, texts, best),
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    texts_by_side: dict[str, Any] = {}
    for pair in range(arguments.pairs):
        for side in list(sides)[:: 1 if pair % 2 == 0 else -1]:
            spent, texts_by_side[side] = timed(sides[side])
            seconds[side].append(spent)
    equal = sum(a == b for a, b in zip(texts_by_side["gpttasks"], texts_by_side["transformers"], strict=True))
    ratios = sorted(b / a for a, b in zip(seconds["gpttasks"], seconds["transformers"], strict=True))
    result = {
        "shape": arguments.shape,
        "texts": len(texts),
        "tokens": NEW_TOKENS,
        "cpu_seconds": seconds,
        "transformers_by_batch_tokens": tried,
        "times": statistics.median(ratios),
        "equal_texts": equal,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{len(texts)} texts of {NEW_TOKENS} tokens, CPU seconds: {seconds}; by batch {tried}")
    print(f"transformers / gpttasks: {result['times']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); {equal} texts equal")


if __name__ == "__main__":
    main()
