"""The distance of scoring from the machine's limit: model FLOPs per second against the measured matmul peak.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/scoring_limit.py --data DATA
    python benchmarks/scoring_limit.py --data DATA --shape gpt2 --cases hellaswag:0:4 --repeats 1

The peak is the fastest of several fp32 products of large square matrices, with one thread and with all available ones,
before and after the cases. A case is NAME:SHOTS:DOCUMENTS, as in ``scoring.py``; the shared engine answers it from
strings to numbers, and rates are per CPU second.

Model FLOPs are those that the answers need (a multiplication and an addition are two):

    blocks      2 * weights in the matrices of the blocks * tokens
    attention   4 * layers * heads * head size * pairs of a token and a token that it may see (itself included)
    head        2 * hidden size * vocabulary * scored tokens

A token at position p of its text may see p + 1 tokens, whatever row it is in. ``fed/s`` counts the tokens that went
through the model's forward passes, without padding. ``GFLOP/s`` counts each common beginning once (``least``), so
that more tokens do not look like more speed. Scored tokens are those at the LM head. Computed FLOPs are those of
the products that were called; masked attention is the part of them that no answer needs (in a causal call without a
mask, the kernel skips about half of it).

The breakdown comes from torch.profiler, by kind of operation, in seconds of one more run, which the profiler slows down
slightly; ``python`` is the rest of the CPU time: tokenising, joining, trees, and the calls themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scoring_cases import case_documents, model_folder

from gpttasks.engine.target_logprobs import COLUMNS

CASES = ("hellaswag:0:100", "hellaswag:5:100")
SIZES = (512, 1024, 2048, 4096)
ROWS = (64, 128, 256, 512, 1024)
KINDS = {
    "attention": "_scaled_dot_product_flash_attention_for_cpu bmm baddbmm softmax _softmax",
    "head: softmax": "log_softmax _log_softmax nll_loss_forward amax argmax exp exp_ log sum sub_ ge gather",
    "layer norm": "native_layer_norm layer_norm rms_norm _fused_rms_norm rsqrt mean",
    "activation": "gelu tanh silu pow sigmoid",
    "add, mul": "add add_ mul mul_ sub div neg",
    "copies": "copy_ cat contiguous clone index index_select where fill_ zero_ embedding",
    "products of the blocks": "addmm mm linear matmul",
}
"""Operations by kind; products with as many columns as a part of the vocabulary are the head's."""


def rate(call: Callable[[], object], flops: float, seconds: float, clock: Callable[[], float]) -> float:
    """The highest GFLOP/s of a call that is repeated for ``seconds`` seconds."""
    call()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = clock()
        call()
        best = max(best, flops / (clock() - start) / 1e9)
    return best


def matmul_peak(threads: int, seconds: float) -> dict[str, float]:
    """GFLOP/s of square fp32 products by size: per CPU second with one thread, else per second."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rates = {}
    for size in SIZES:
        left, right, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)

        def product(left: Any = left, right: Any = right, out: Any = out) -> object:
            return torch.mm(left, right, out=out)

        clock = time.process_time if threads == 1 else time.perf_counter
        rates[str(size)] = rate(product, 2.0 * size**3, seconds, clock)
    torch.set_num_threads(before)
    return rates


def model_products(backbone: Any, seconds: float) -> dict[str, dict[str, float]]:
    """GFLOP/s of the model's own products, by the shape of the weights and the tokens in one call."""
    import torch

    modules: dict[str, Any] = {}
    for module in [*backbone.causal_lm.base_model.modules(), backbone.causal_lm.get_output_embeddings()]:
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding):
            modules.setdefault(f"{type(module).__name__} {'x'.join(map(str, weight.shape))}", module)
    rates: dict[str, dict[str, float]] = {}
    for name, module in modules.items():
        width = module.weight.shape[1] if isinstance(module, torch.nn.Linear) else module.weight.shape[0]
        rates[name] = {}
        for rows in ROWS:
            states = torch.randn(rows, width)

            def product(module: Any = module, states: Any = states) -> object:
                return module(states)

            with torch.inference_mode():
                best = rate(product, 2.0 * rows * module.weight.numel(), seconds, time.process_time)
            rates[name][str(rows)] = best
    return rates


class Counted:
    """Counts of what went through the model: tokens, padding, attention pairs, calls, and rows of the LM head."""

    def __init__(self) -> None:
        self.tokens = self.padding = self.pairs = self.calls = self.head_rows = 0

    def see(self, module: Any, args: Any, options: dict[str, Any], outputs: Any) -> None:
        """Count one forward pass of the blocks."""
        ids = options["input_ids"] if "input_ids" in options else args[0]
        lengths = ids.shape[-1] - (ids.flip(-1) != 0).int().argmax(-1)  # rows are padded on the right with zeros
        positions = options.get("position_ids")
        if positions is None:
            cache = next((options[name] for name in ("past_key_values", "cache") if options.get(name)), None)
            past = cache.get_seq_length() - ids.shape[-1] if cache is not None else 0
            self.pairs += int((lengths * past + lengths * (lengths + 1) // 2).sum())
        else:
            seen = (positions + 1).expand(ids.shape)
            self.pairs += sum(int(row[:length].sum()) for row, length in zip(seen, lengths, strict=True))
        self.tokens += int(lengths.sum())
        self.padding += ids.numel() - int(lengths.sum())
        self.calls += 1

    def scoring(self, target_logprobs: Callable[..., Any]) -> Callable[..., Any]:
        """The function, wrapped to count the states that go through the LM head."""

        def counted(head: Any, states: Any, places: Any, targets: Any) -> Any:
            self.head_rows += len(set(places))
            return target_logprobs(head, states, places, targets)

        return counted


@contextmanager
def counting(backbone: Any) -> Iterator[Counted]:
    """Count what goes through the model in the block."""
    from gpttasks.engine import shared

    counted, module = Counted(), vars(shared)
    before = module["target_logprobs"]
    module["target_logprobs"] = counted.scoring(before)
    hook = backbone.causal_lm.base_model.register_forward_hook(counted.see, with_kwargs=True)
    yield counted
    hook.remove()
    module["target_logprobs"] = before


def attention_flops(query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> int:
    """The FLOPs of one call of the fused attention on the CPU, as if the kernel skipped nothing."""
    rows, heads, length, size = query
    return int(2 * rows * heads * length * key[-2] * (size + value[-1]))


def flops(backbone: Any, engine: Any, requests: list[Any]) -> dict[str, Any]:
    """The FLOPs that the answers need, and those that were computed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with counting(backbone) as counted, FlopCounterMode(display=False, custom_mapping=fused) as counter:
        engine.answer(requests)
    by_call = {str(name): number for name, number in counter.get_flop_counts().get("Global", {}).items()}
    if not counted.tokens:
        raise RuntimeError("no forward pass of the model was counted")
    model, config = backbone.causal_lm, backbone.causal_lm.config
    embeddings = {id(m.weight) for m in model.base_model.modules() if isinstance(m, torch.nn.Embedding)}
    weights = sum(p.numel() for p in model.base_model.parameters() if p.ndim == 2 and id(p) not in embeddings)
    width = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    head = model.get_output_embeddings().weight.numel()
    attention, in_head = 4 * config.num_hidden_layers * width, 2 * head * counted.head_rows
    least, least_pairs = least_work(backbone, requests)
    fed = {"blocks": 2 * weights * counted.tokens, "attention": attention * counted.pairs, "head": in_head}
    needed = {"blocks": 2 * weights * least, "attention": attention * least_pairs, "head": in_head}
    computed = sum(number for name, number in by_call.items() if "attention" in name or "bmm" in name)
    return {
        "needed": needed,
        "fed": fed,
        "computed": by_call,
        "attention_masked": computed - fed["attention"],
        "tokens": counted.tokens,
        "padding": counted.padding,
        "tokens_least": least,
        "tokens_scored": counted.head_rows,
        "calls": counted.calls,
    }


def least_work(backbone: Any, requests: Sequence[Any]) -> tuple[int, int]:
    """Tokens that differ in themselves or in what comes before them, and the pairs of those with what they see.

    The last token of a row is not an input.
    """
    rows = sorted(list(row.ids[:-1]) for row in token_rows(backbone, requests))
    tokens, pairs = 0, 0
    before: list[int] = []
    for row in rows:
        common = 0
        while common < min(len(row), len(before)) and row[common] == before[common]:
            common += 1
        tokens += len(row) - common
        pairs += (len(row) * (len(row) + 1) - common * (common + 1)) // 2
        before = row
    return tokens, pairs


def kind_of(name: str, shapes: Any, head_columns: set[int]) -> str:
    """The part of the breakdown that an operation belongs to."""
    bare = name.removeprefix("aten::")
    kind = next((kind for kind, names in KINDS.items() if bare in names.split()), "other calls")
    if kind == "products of the blocks":
        _, weights = [shape for shape in shapes if shape and len(shape) == 2][:2]
        if weights[-1] in head_columns:
            return "head: product"
    return kind


def breakdown(backbone: Any, engine: Any, requests: list[Any]) -> dict[str, float]:
    """The seconds of a run under the profiler, by kind of operation."""
    from torch.profiler import ProfilerActivity, profile

    forget_texts(backbone)
    vocabulary = backbone.causal_lm.get_output_embeddings().weight.shape[0]
    modules = backbone.causal_lm.base_model.modules()
    products = [
        module.weight for module in modules if hasattr(module, "weight") and not hasattr(module, "num_embeddings")
    ]
    widths = {size for weight in products if weight.ndim == 2 for size in weight.shape}
    head_columns = {vocabulary} | {COLUMNS, vocabulary % COLUMNS} - widths
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        start, wall_start = time.process_time(), time.perf_counter()
        engine.answer(requests)
        cpu, whole = time.process_time() - start, time.perf_counter() - wall_start
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages(group_by_input_shape=True):
        seconds[kind_of(event.key, event.input_shapes, head_columns)] += event.self_cpu_time_total / 1e6
    parts = dict(sorted(seconds.items(), key=lambda item: -item[1]))
    parts["python"] = whole - sum(parts.values())
    # The profiler's clock also runs while another process has the core; the CPU clock does not.
    return {part: value * cpu / whole for part, value in parts.items()}


def forget_texts(backbone: Any) -> None:
    """Forget the token ids of earlier runs."""
    from gpttasks.tokens import rows

    for remembered in (*vars(rows).values(), *vars(backbone.tokenizer).values()):
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()


def token_rows(backbone: Any, requests: Sequence[Any]) -> list[Any]:
    """The rows of token ids of all requests."""
    from gpttasks.tokens.rows import rows_of_request

    return [row for one in requests for row in rows_of_request(backbone.tokenizer, one, backbone.context)]


def tokenising(backbone: Any, requests: list[Any]) -> float:
    """CPU seconds from the strings to rows of token ids."""
    forget_texts(backbone)
    start = time.process_time()
    token_rows(backbone, requests)
    return time.process_time() - start


def measure(case: str, arguments: argparse.Namespace, folder: Path, backbone: Any) -> dict[str, Any]:
    """The measurements of one case."""
    from gpttasks.engine.shared import SharedEngine
    from gpttasks.example import as_prompt
    from gpttasks.requests import LogLikelihood

    content = case_documents(case, arguments, folder)
    requests = [
        LogLikelihood(as_prompt(text), continuation, tuple(continuations))
        for text, continuations in content["texts"]
        for continuation in continuations
    ]
    engine = SharedEngine(backbone)
    engine.answer(requests[:4])
    runs = []
    for repeat in range(arguments.repeats):
        forget_texts(backbone)
        start, wall = time.process_time(), time.perf_counter()
        engine.answer(requests)
        runs.append({"cpu_seconds": time.process_time() - start, "seconds": time.perf_counter() - wall})
        print(case, f"run {repeat + 1}", runs[-1], file=sys.stderr)
    cpu = statistics.median(run["cpu_seconds"] for run in runs)
    found = flops(backbone, engine, requests)
    found |= {"documents": content["documents"], "shots": content["shots"], "requests": len(requests), "runs": runs}
    found["cpu_seconds"] = cpu
    found["gflops_per_second"] = sum(found["needed"].values()) / cpu / 1e9
    found["fed_gflops_per_second"] = sum(found["fed"].values()) / cpu / 1e9
    found["not_shared"] = backbone.supports.sharing.reason  # None: what rows begin with alike is read once
    found["tokenising_seconds"] = tokenising(backbone, requests)
    return found | {"breakdown": breakdown(backbone, engine, requests)}


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    peak = results["peak_gflops"]
    for name, rates in peak.items():
        print(f"matmul peak, {name}:", *(f"{size}: {value:.0f}" for size, value in rates.items()), "GFLOP/s")
    for name, rates in results.get("own_shapes", {}).items():
        print(f"  {name:24}", *(f"{rows}: {value:4.0f}" for rows, value in rates.items()))
    best = results["best_one_thread"]
    print("FLOPs in 1e9")
    columns = ("docs", "tokens", "least", "padding", "scored", "calls", "blocks", "attn", "head", "masked", "CPU s")
    print(
        f"{'':26}",
        *(f"{column:>8}" for column in columns),
        f"{'GFLOP/s':>8} {'of peak':>8} {'fed/s':>8} {'of peak':>8}",
    )
    for name, case in results["cases"].items():
        counts = [case[key] for key in ("documents", "tokens", "tokens_least", "padding", "tokens_scored", "calls")]
        flops = [case["needed"][part] for part in ("blocks", "attention", "head")] + [case["attention_masked"]]
        print(
            f"{name:26}",
            *(f"{count:8}" for count in counts),
            *(f"{number / 1e9:8.0f}" for number in flops),
            f"{case['cpu_seconds']:8.2f} {case['gflops_per_second']:8.1f} {case['gflops_per_second'] / best:8.1%}"
            f" {case['fed_gflops_per_second']:8.1f} {case['fed_gflops_per_second'] / best:8.1%}",
            f"NOT SHARED: {case['not_shared']}" if case["not_shared"] else "",
        )
    for name, case in results["cases"].items():
        whole = sum(case["breakdown"].values())
        print(f"\n{name}, under the profiler: {whole:.2f} CPU s; tokenising alone {case['tokenising_seconds']:.3f} s")
        for part, seconds in case["breakdown"].items():
            print(f"  {part:28} {seconds:8.2f} {seconds / whole:7.1%}")


def arguments_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with hellaswag, arc_easy, …")
    parser.add_argument("--shape", default="gpt2-small", help="a shape of scoring_cases.py, or a model's folder")
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="NAME:SHOTS:DOCUMENTS")
    parser.add_argument("--documents", type=int, default=100, help="if the case does not say")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak-seconds", type=float, default=3.0, help="seconds for each matrix size")
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_limit.json"))
    parser.set_defaults(fresh_shots=False)
    return parser


def main() -> None:
    """Measure the peak and the cases with one thread, and print all."""
    import torch

    from gpttasks.allocator import keep_freed_memory
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions

    arguments = arguments_parser().parse_args()
    keep_freed_memory()  # as every run of gpttasks does
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(1)
    versions = {package: version(package) for package in ("gpttasks", "torch", "transformers", "tokenizers")}
    peak = {"one thread": matmul_peak(1, arguments.peak_seconds)}
    if cores > 1:
        peak[f"{cores} threads"] = matmul_peak(cores, arguments.peak_seconds)
    folder = model_folder(arguments.shape, arguments.models)
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    results: dict[str, Any] = {"versions": versions, "shape": arguments.shape, "peak_gflops": peak, "cases": {}}
    results["own_shapes"] = model_products(backbone, arguments.peak_seconds / 10)
    for case in arguments.cases:
        name = f"{Path(arguments.shape).name} {':'.join(case.split(':')[:2])}"
        results["cases"][name] = measure(case, arguments, folder, backbone)
        peak["one thread, after"] = matmul_peak(1, arguments.peak_seconds)
        results["best_one_thread"] = max(value for key in peak if "one" in key for value in peak[key].values())
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
