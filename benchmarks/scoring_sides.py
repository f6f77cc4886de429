"""The sides of the scoring benchmark: this script answers as one of them, in a separate process.

The peer's environment has neither gpttasks nor pyarrow, so neither is imported before the side is known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoring_cases import NEW_TOKENS, Document


class Answering:
    """Measures the time and memory of a block."""

    def __enter__(self) -> Answering:
        with contextlib.suppress(OSError):  # Linux: reset the peak
            Path("/proc/self/clear_refs").write_text("5")
        self.before = memory("VmRSS")
        self.start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.perf_counter() - self.start[0]
        self.cpu_seconds = time.process_time() - self.start[1]
        self.peak = memory("VmHWM")

    def numbers(self) -> dict[str, float]:
        """Seconds, and memory in bytes."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory": self.peak,
            "memory_before": self.before,
        }


def memory(name: str) -> int:
    """VmRSS (now) or VmHWM (the peak) of this process in bytes; 0 without /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def peer_worker(arguments: argparse.Namespace, case: dict[str, Any]) -> dict[str, Any]:
    """lm-evaluation-harness: answers with one batch size, or measures the CPU time of each of several."""
    with Answering() as loading:
        import torch
        import transformers
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(arguments.threads)
        length = transformers.AutoConfig.from_pretrained(arguments.folder).max_position_embeddings
        # One less than the model's: the peer's rows have a last token that is not an input, so both sides' rows agree.
        model = HFLM(
            pretrained=str(arguments.folder), device="cpu", dtype="float32", batch_size=1, max_length=length - 1
        )
        # The costs of a first call.
        model.loglikelihood([Instance("loglikelihood", {}, ("a", " b"), 0)], disable_tqdm=True)

    def instances(documents: list[Document]) -> list[Any]:
        kind = case["kind"]
        if kind == "rolling":
            return [Instance("loglikelihood_rolling", {}, (text,), i) for i, (text, _) in enumerate(documents)]
        if kind == "generate":
            options = {"until": [], "max_gen_toks": NEW_TOKENS, "do_sample": False}
            return [Instance("generate_until", {}, (text, options), i) for i, (text, _) in enumerate(documents)]
        pairs = [(text, after) for text, continuations in documents for after in continuations]
        return [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]

    def answers(documents: list[Document], size: int) -> tuple[Any, Answering]:
        requests = instances(documents)
        model.batch_size_per_gpu = size
        ask = {"rolling": model.loglikelihood_rolling, "generate": model.generate_until}
        with Answering() as answering:
            replies = ask.get(case["kind"], model.loglikelihood)(requests, disable_tqdm=True)
        return replies, answering

    if len(arguments.batches) > 1:
        # Enough to fill the largest batch: its memory is part of its cost.
        part = case["texts"][: max(len(case["texts"]) // 4, *arguments.batches)]
        return {"cpu_by_batch": {size: answers(part, size)[1].cpu_seconds for size in arguments.batches}}
    replies, answering = answers(case["texts"], arguments.batches[0])
    if case["kind"] == "loglikelihood":
        result = {"values": [value for value, _ in replies], "greedy": [greedy for _, greedy in replies]}
    else:
        result = {"values": replies}
    loaded = {"load_seconds": loading.seconds, "load_cpu_seconds": loading.cpu_seconds, "batch": arguments.batches[0]}
    return result | answering.numbers() | loaded


def gpttasks_worker(arguments: argparse.Namespace, case: dict[str, Any], plain: bool) -> dict[str, Any]:
    """gpttasks, with the shared engine or the plain one."""
    with Answering() as loading:
        import torch

        from gpttasks.allocator import keep_freed_memory
        from gpttasks.backbones.base import LoadSettings
        from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
        from gpttasks.engine.plain import LocalEngine
        from gpttasks.engine.shared import SharedEngine
        from gpttasks.example import as_prompt
        from gpttasks.requests import Generate, LogLikelihood, Rolling

        keep_freed_memory()
        torch.set_num_threads(arguments.threads)
        backbone = HuggingFace(HuggingFaceOptions(path=str(arguments.folder)))
        backbone.load(LoadSettings())
        engine = (LocalEngine if plain or not backbone.supports.sharing else SharedEngine)(backbone)
        engine.answer([LogLikelihood(as_prompt("a"), " b")])
    requests: list[Any] = []
    for text, continuations in case["texts"]:
        prompt = as_prompt(text)
        if case["kind"] == "rolling":
            requests.append(Rolling(prompt, stride=backbone.context - 1))
        elif case["kind"] == "generate":
            requests.append(Generate(prompt, NEW_TOKENS))
        else:
            requests += [LogLikelihood(prompt, after, tuple(continuations)) for after in continuations]
    with Answering() as answering:
        replies: list[Any] = engine.answer(requests)
    loaded = {"load_seconds": loading.seconds, "load_cpu_seconds": loading.cpu_seconds}
    if case["kind"] == "generate":
        return {"values": [reply.text for reply in replies]} | answering.numbers() | loaded
    result: dict[str, Any] = {"values": [reply.logprob for reply in replies]}
    result["cut"] = sum(
        bool(getattr(reply, "cut", None) and (reply.cut.tokens or reply.cut.shots)) for reply in replies
    )
    if case["kind"] == "loglikelihood":
        result["greedy"] = [reply.greedy for reply in replies]
        result["tokens"] = [reply.tokens for reply in replies]
    if plain:
        with torch.inference_mode():
            result["peer_split"] = peer_splits(backbone, case)
    return result | answering.numbers() | loaded


def peer_splits(backbone: Any, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each request with other tokens in the peer: why, and the log-likelihood of these tokens."""
    from gpttasks.example import as_prompt
    from gpttasks.requests import LogLikelihood
    from gpttasks.tokens.rows import rows_of_request

    tokenizer, begin = backbone.tokenizer, list(backbone.tokenizer.starts_with)
    splits = {}
    if case["kind"] == "rolling":
        for index, (text, _) in enumerate(case["texts"] if begin else []):
            ids = [tokenizer.fallback_start, *begin, *tokenizer.encode(text)]
            value = sum(scored(backbone, row, start) for row, start in peer_windows(ids, backbone.context))
            splits[str(index)] = {"why": "the begin-of-text token is predicted too", "value": value}
        return splits
    pairs = [(text, after) for text, continuations in case["texts"] for after in continuations]
    for index, (text, after) in enumerate(pairs):
        (row,) = rows_of_request(tokenizer, LogLikelihood(as_prompt(text), after), backbone.context)
        whole = [*begin, *tokenizer.encode(text + after)]
        bare = text.rstrip()
        start = len(begin) + len(tokenizer.encode(bare))
        if (whole, start) != (row.ids, row.start):
            value = scored(backbone, whole, start) if start < len(whole) else 0.0
            splits[str(index)] = {"why": "a token crosses the boundary", "value": value}
    return splits


def peer_windows(ids: list[int], context: int) -> Iterator[tuple[list[int], int]]:
    """The peer's windows of at most ``context`` ids, with the index of the first predicted id."""
    done = 1
    while done < len(ids):
        last = min(done + context - 1, len(ids))
        first = max(0, last - context)
        yield ids[first:last], done - first
        done = last


def scored(backbone: Any, ids: list[int], start: int) -> float:
    """The log-likelihood of the tokens of one row from ``start`` on."""
    return float(backbone.forward([ids]).targets([start]).logprobs().double().sum())


def main() -> None:
    """Answer as one side, and print the result as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("gpttasks", "lm-eval", "plain"))
    parser.add_argument("requests", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    case = json.loads(arguments.requests.read_text())
    if arguments.side == "lm-eval":
        result = peer_worker(arguments, case)
    else:
        result = gpttasks_worker(arguments, case, plain=arguments.side == "plain")
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
