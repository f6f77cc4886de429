"""Scoring speed and memory beside lm-evaluation-harness: the same weights, the same rendered prompts, one run.

    python benchmarks/scoring.py --data ../shared/data --peer-python PEER/bin/python
    python benchmarks/scoring.py ... --cases hellaswag:5:40 sst2:16 --pairs 5
    python benchmarks/scoring.py ... --shape ../shared/models/stories260K --cases hellaswag:0 sst2:16

The peer's environment holds lm_eval 0.4.13 with the same torch and transformers: ``pip install 'lm_eval[hf]==0.4.13'``
with their versions pinned, or a fresh environment whose .pth file names this one's site-packages.

A case is NAME:SHOTS:DOCUMENTS. Its shots are drawn once and stand before every document; with ``--fresh-shots`` every
document has its own, as the peer's tasks have by default. Nothing is cut: as many of the shots are used as leave nine
of ten documents room, documents that are too long all the same are passed over, and both are in the results. The
strings are rendered once, into a file that each side reads in a process of its own: ``gpttasks`` (the shared engine, as
shipped), ``lm-eval`` (HFLM, with the batch size that took the least CPU time on a part of the documents) and, once,
``plain`` (the engine that reads each request as one row).

Seconds run from the strings to the numbers; imports and loading are apart. CPU seconds are those of the process in the
same time, since neighbours on the machine stretch the wall time. Peak memory is the most that the process had
resident while it answered. Tables give medians over the pairs.

Parity: log-likelihoods are the same within 1e-4 nats or, above 420 nats, within 2**-22 of their size (about two units
of fp32). One that differs counts as explained if the peer asks for other tokens, and the plain engine gives the peer's
number for those; else it does not.

For pinned cores run the whole under ``taskset``; ``--threads`` sets torch's threads on each side.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

Document = tuple[str, list[str]]
"""A context, and the continuations asked after it."""

CASES = ("hellaswag:0", "hellaswag:5", "arc_easy:0", "arc_easy:25", "boolq:0", "boolq:5", "sst2:16", "lambada:0")
CASES = (*CASES, "wikitext2:0:8", "e2e_nlg:0:16")
KINDS = {"wikitext2": "rolling", "e2e_nlg": "generate"}
TOLERANCE = 1e-4
NEW_TOKENS = 64
GPT2 = {"n_layer": 8, "n_head": 8, "n_embd": 512, "n_positions": 2048}
SMALL = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}
QWEN = {
    "vocab_size": 151936,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 4096,
}
SHAPES: dict[str, tuple[str, dict[str, int]]] = {
    "gpt2": ("gpt2", GPT2),
    "gpt2-small": ("gpt2", SMALL),
    "qwen-vocabulary": ("qwen3", QWEN),
}


# What is asked: strings, rendered once.


def rows_of(data: Path, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """The rows to score, and those for shots; None: they are drawn from the rows that are not scored."""
    import pyarrow.parquet as pq

    def read(split: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(data / name / f"{split}.parquet").to_pylist()
        return rows

    if name == "sst2":
        return read("validation"), read("train")
    if name == "wikitext2":
        articles: list[list[str]] = []
        for row in read("test"):
            if not articles or (row["text"].startswith(" = ") and not row["text"].startswith(" = = ")):
                articles.append([])
            articles[-1].append(row["text"])
        return [{"text": "\n".join(lines).strip()} for lines in articles if len(lines) > 2], None
    return read("validation" if name in ("hellaswag", "boolq") else "test"), None


def rendered(name: str, row: dict[str, Any]) -> tuple[str, list[str], int]:
    """A row's context, its continuations and which of them is right."""
    if name == "hellaswag":
        return row["ctx"], [f" {ending}" for ending in row["endings"]], int(row["label"])
    if name == "sst2":
        return f"{row['sentence']}\nSentiment:", [" negative", " positive"], int(row["label"])
    if name == "lambada":
        before, _, last = row["text"].rpartition(" ")
        return before, [f" {last}"], 0
    if name == "wikitext2":
        return row["text"], [], 0
    if name == "e2e_nlg":
        return f"{row['meaning_representation']}\nText:", [f" {row['references'][0]}"], 0
    return f"{row['query']}\nAnswer:", [f" {choice}" for choice in row["choices"]], int(row["gold"])


def case_documents(case: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What a case asks, as the workers read it."""
    name, shots, count = (*case.split(":"), "")[:3]
    wanted, asked = int(shots or 0), int(count or arguments.documents)
    kind = KINDS.get(name, "loglikelihood")
    rows, pool = rows_of(arguments.data, name)
    rng = random.Random(1)
    rng.shuffle(rows)
    if pool is None:
        pool, rows = rows[:500], rows[500:] if wanted else rows
    too_long = length_check(folder, kind)
    for used in range(wanted, -1, -1):
        drawn = random.Random(2)
        fixed = drawn.sample(pool, used)
        documents: list[Document] = []
        passed = 0
        for row in rows:
            before = "".join(shot(name, row) for row in (drawn.sample(pool, used) if arguments.fresh_shots else fixed))
            context, continuations, _ = rendered(name, row)
            if too_long(before + context, continuations):
                passed += 1
            else:
                documents.append((before + context, [] if kind == "generate" else continuations))
            if len(documents) == asked or (used and passed * 10 > asked):
                break
        if len(documents) == asked or not used:
            break
    about = {"kind": kind, "documents": len(documents), "shots": used, "shots_asked": wanted, "passed_over": passed}
    return about | {"texts": documents}


def shot(name: str, row: dict[str, Any]) -> str:
    """A solved example."""
    context, continuations, right = rendered(name, row)
    return f"{context}{continuations[right]}\n\n"


def length_check(folder: Path, kind: str) -> Callable[[str, list[str]], bool]:
    """A function that says whether a document is too long for the model; a rolling one never is."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    room = AutoConfig.from_pretrained(folder).max_position_embeddings - 2 - (NEW_TOKENS if kind == "generate" else 0)

    def too_long(context: str, continuations: list[str]) -> bool:
        texts = [context] if kind == "generate" else [context + continuation for continuation in continuations]
        return kind != "rolling" and max(len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]) > room

    return too_long


def model_folder(shape: str, cache: Path) -> Path:
    """The folder of a model: a given one, or random weights of a shape with the tokenizer of nano, made once."""
    if shape not in SHAPES:
        return Path(shape)
    folder = cache / shape
    if not (folder / "model.safetensors").exists():
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        import gpttasks

        tokenizer = AutoTokenizer.from_pretrained(Path(gpttasks.__file__).parent / "backbones" / "nano_weights")
        kind, sizes = SHAPES[shape]
        options = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": True}
        torch.manual_seed(1)
        # A larger spread than the 0.02 of training: log-likelihoods that depend on the context clearly.
        config = AutoConfig.for_model(kind, **(options | sizes), initializer_range=0.05)
        AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
        tokenizer.model_max_length = config.max_position_embeddings
        tokenizer.save_pretrained(folder)
    return folder


# Who answers: each side in a process of its own. The peer's has neither gpttasks nor pyarrow to import.


class Answering:
    """Measures the time and memory of a block."""

    def __enter__(self) -> Answering:
        with contextlib.suppress(OSError):  # Linux: the peak counts from here
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
    """VmRSS (now) or VmHWM (the most so far) of this process in bytes; 0 where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def peer_worker(arguments: argparse.Namespace, case: dict[str, Any]) -> dict[str, Any]:
    """lm-evaluation-harness: answers with one batch size, or says how much CPU time each of several takes."""
    with Answering() as loading:
        import torch
        import transformers
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(arguments.threads)
        length = transformers.AutoConfig.from_pretrained(arguments.folder).max_position_embeddings
        # One less than the model's: the peer's rows hold a last token that is not fed, so both sides' rows are alike.
        model = HFLM(
            pretrained=str(arguments.folder), device="cpu", dtype="float32", batch_size=1, max_length=length - 1
        )
        # That of the process, its tokenizer and its first forward pass.
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
        asked = instances(documents)
        model.batch_size_per_gpu = size
        ask = {"rolling": model.loglikelihood_rolling, "generate": model.generate_until}
        with Answering() as answering:
            given = ask.get(case["kind"], model.loglikelihood)(asked, disable_tqdm=True)
        return given, answering

    if len(arguments.batches) > 1:
        part = case["texts"][: max(4, len(case["texts"]) // 4)]
        return {"cpu_by_batch": {size: answers(part, size)[1].cpu_seconds for size in arguments.batches}}
    given, answering = answers(case["texts"], arguments.batches[0])
    if case["kind"] == "loglikelihood":
        found = {"values": [value for value, _ in given], "greedy": [greedy for _, greedy in given]}
    else:
        found = {"values": given}
    loaded = {"load_seconds": loading.seconds, "load_cpu_seconds": loading.cpu_seconds, "batch": arguments.batches[0]}
    return found | answering.numbers() | loaded


def own_worker(arguments: argparse.Namespace, case: dict[str, Any], plain: bool) -> dict[str, Any]:
    """gpttasks, with the shared engine or the plain one."""
    with Answering() as loading:
        import torch

        from gpttasks.backbones.base import LoadSettings
        from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
        from gpttasks.engine.local import LocalEngine
        from gpttasks.engine.shared import SharedEngine
        from gpttasks.requests import Generate, LogLikelihood, Rolling
        from gpttasks.tasks.example import as_prompt

        torch.set_num_threads(arguments.threads)
        backbone = HuggingFace(HuggingFaceOptions(path=str(arguments.folder)))
        backbone.load(LoadSettings())
        engine = (LocalEngine if plain or backbone.unshared else SharedEngine)(backbone)
        engine.answer([LogLikelihood(as_prompt("a"), " b")])
    asked: list[Any] = []
    for text, continuations in case["texts"]:
        prompt = as_prompt(text)
        if case["kind"] == "rolling":
            asked.append(Rolling(prompt, stride=backbone.context - 1))
        elif case["kind"] == "generate":
            asked.append(Generate(prompt, NEW_TOKENS))
        else:
            asked += [LogLikelihood(prompt, after, tuple(continuations)) for after in continuations]
    with Answering() as answering:
        replies: list[Any] = engine.answer(asked)
    loaded = {"load_seconds": loading.seconds, "load_cpu_seconds": loading.cpu_seconds}
    if case["kind"] == "generate":
        return {"values": [reply.text for reply in replies]} | answering.numbers() | loaded
    found: dict[str, Any] = {"values": [reply.logprob for reply in replies]}
    found["cut"] = sum(bool(getattr(reply, "cut", None) and (reply.cut.tokens or reply.cut.shots)) for reply in replies)
    if case["kind"] == "loglikelihood":
        found["greedy"] = [reply.greedy for reply in replies]
        found["tokens"] = [reply.tokens for reply in replies]
    if plain:
        with torch.inference_mode():
            found["peer_split"] = peer_splits(backbone, case)
    return found | answering.numbers() | loaded


def peer_splits(backbone: Any, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By request: why the peer asks for other tokens than gpttasks does, and the log-likelihood of those."""
    from gpttasks.backbones.join import join
    from gpttasks.tasks.example import as_prompt

    tokenizer, begin = backbone.tokenizer, list(backbone.tokenizer.starts_with)
    found = {}
    if case["kind"] == "rolling":
        for index, (text, _) in enumerate(case["texts"] if begin else []):
            ids = [tokenizer.fallback_start, *begin, *tokenizer.encode(text)]
            value = sum(scored(backbone, row, start) for row, start in peer_windows(ids, backbone.context))
            found[str(index)] = {"why": "the begin-of-text token is predicted too", "value": value}
        return found
    pairs = [(text, after) for text, continuations in case["texts"] for after in continuations]
    for index, (text, after) in enumerate(pairs):
        joined = join(tokenizer, as_prompt(text), after, backbone.context)
        whole = [*begin, *tokenizer.encode(text + after)]
        bare = text.rstrip()
        start = len(begin) + len(tokenizer.encode(bare))
        if (whole, start) != (joined.ids, joined.boundary):
            why = "a token spans the join" if bare == text else "spaces before the join are moved behind it"
            value = scored(backbone, whole, start) if start < len(whole) else 0.0
            found[str(index)] = {"why": why, "value": value}
    return found


def peer_windows(ids: list[int], context: int) -> Iterator[tuple[list[int], int]]:
    """Windows of at most ``context`` ids as the peer makes them, with the place where the predicted ones begin."""
    done = 1
    while done < len(ids):
        last = min(done + context - 1, len(ids))
        first = max(0, last - context)
        yield ids[first:last], done - first
        done = last


def scored(backbone: Any, ids: list[int], start: int) -> float:
    """The log-likelihood of the tokens of one row from ``start`` on."""
    return float(backbone.forward([ids]).targets([start]).logprobs().double().sum())


# Both, side by side.


def run_side(side: str, arguments: argparse.Namespace, file: Path, folder: Path, batches: list[int]) -> dict[str, Any]:
    """What a worker found; RuntimeError with its output if it failed."""
    python = arguments.peer_python if side == "lm-eval" else sys.executable
    command = [str(python), __file__, "--worker", side, "--requests", str(file), "--folder", str(folder)]
    command += ["--threads", str(arguments.threads), "--batches", *map(str, batches)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(arguments.threads))
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads | quiet)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: str, arguments: argparse.Namespace, folder: Path, scratch: Path) -> dict[str, Any]:
    """One case: the peer's batch size, then the pairs, whose order alternates."""
    content = case_documents(case, arguments, folder)
    file = scratch / "requests.json"
    file.write_text(json.dumps(content))
    about = {key: value for key, value in content.items() if key != "texts"}
    tried = run_side("lm-eval", arguments, file, folder, arguments.peer_batches)
    cpu_by_batch: dict[str, float] = tried.get("cpu_by_batch", {str(arguments.peer_batches[0]): 0.0})
    batch = int(min(cpu_by_batch, key=lambda size: cpu_by_batch[size]))
    runs: dict[str, list[dict[str, Any]]] = {"gpttasks": [], "lm-eval": [], "plain": []}
    for pair in range(arguments.pairs):
        for side in ("gpttasks", "lm-eval") if pair % 2 == 0 else ("lm-eval", "gpttasks"):
            runs[side].append(run_side(side, arguments, file, folder, [batch]))
    runs["plain"].append(run_side("plain", arguments, file, folder, [batch]))
    about |= {"peer_batch": batch, "peer_cpu_by_batch": cpu_by_batch}
    about["parity"] = parity(runs, content["kind"])
    large = ("values", "greedy", "tokens", "peer_split")
    about["runs"] = {side: [{k: v for k, v in run.items() if k not in large} for run in runs[side]] for side in runs}
    return about


def parity(runs: dict[str, list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    """How the answers of the three sides agree."""
    own, peer, plain = runs["gpttasks"][0], runs["lm-eval"][0], runs["plain"][0]
    if kind == "generate":
        equal = sum(a == b for a, b in zip(own["values"], peer["values"], strict=True))
        as_plain = sum(a == b for a, b in zip(own["values"], plain["values"], strict=True))
        return {"requests": len(own["values"]), "equal": equal, "equal_to_plain": as_plain}
    values = list(zip(own["values"], peer["values"], plain["values"], strict=True))
    equal = [close(ours, theirs) for ours, theirs, _ in values]
    why: Counter[str] = Counter()
    same_rows = [0.0]
    for index, (ours, theirs, _) in enumerate(values):
        split = plain["peer_split"].get(str(index))
        if split is None:
            same_rows.append(abs(ours - theirs))
        if not equal[index]:
            explained = split is not None and close(split["value"], theirs)
            why[split["why"] if split is not None and explained else "unexplained"] += 1
    flags = zip(own.get("greedy", ()), peer.get("greedy", ()), equal, strict=False)
    return {
        "requests": len(values),
        "equal": sum(equal),
        "different": dict(why),
        "largest_difference_same_tokens": max(same_rows),
        "largest_difference_to_plain": max(abs(ours - slow) for ours, _, slow in values),
        "greedy_flags_different_where_equal": sum(a != b for a, b, same in flags if same),
    }


def close(ours: float, theirs: float) -> bool:
    """Whether two log-likelihoods are the same: within 1e-4 nats, or about two units of fp32 for larger sums."""
    return abs(ours - theirs) <= max(TOLERANCE, abs(theirs) * 2**-22)


def medians(case: dict[str, Any], key: str) -> dict[str, float]:
    """The median of a number, by side."""
    return {side: statistics.median(run[key] for run in runs) for side, runs in case["runs"].items()}


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    head = f"{'':28} {'docs':>5} {'asked':>6} {'wall s':>15} {'CPU s':>15} {'times':>6} {'(range)':>13} {'plain':>7}"
    print("Pairs of columns: gpttasks, lm-eval. times: CPU seconds of lm-eval / of gpttasks; plain: CPU seconds.")
    print(f"{head} {'peak MB':>11} {'+ MB':>11} {'batch':>5} {'equal':>6} {'expl.':>6} {'other':>6} {'max diff':>9}")
    for name, case in results.items():
        wall, cpu, peak, before = (
            medians(case, key) for key in ("seconds", "cpu_seconds", "peak_memory", "memory_before")
        )
        a, b = "gpttasks", "lm-eval"
        pairs = zip(case["runs"][a], case["runs"][b], strict=True)
        ratios = sorted(theirs["cpu_seconds"] / ours["cpu_seconds"] for ours, theirs in pairs)
        parity = case["parity"]
        other = parity.get("different", {}).get("unexplained", 0)
        if case["kind"] == "generate":
            other = parity["requests"] - parity["equal"]
        explained = sum(parity.get("different", {}).values()) - other if case["kind"] != "generate" else 0
        print(
            f"{name:28} {case['documents']:5} {parity['requests']:6} {wall[a]:7.2f} {wall[b]:7.2f}"
            f" {cpu[a]:7.2f} {cpu[b]:7.2f} {cpu[b] / cpu[a]:6.2f} {f'({ratios[0]:.2f}–{ratios[-1]:.2f})':>13}"
            f" {cpu['plain']:7.2f} {peak[a] / 1e6:5.0f} {peak[b] / 1e6:5.0f}"
            f" {(peak[a] - before[a]) / 1e6:5.0f} {(peak[b] - before[b]) / 1e6:5.0f} {case['peer_batch']:5}"
            f" {parity['equal']:6} {explained:6} {other:6} {parity.get('largest_difference_same_tokens', 0):9.1e}"
        )


def arguments_parser() -> argparse.ArgumentParser:
    """The options, those that the driver gives its workers among them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with hellaswag, arc_easy, boolq, sst2, lambada, …")
    parser.add_argument("--peer-python", type=Path, help="the interpreter of the environment with lm_eval")
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="NAME:SHOTS:DOCUMENTS")
    parser.add_argument("--shape", default="gpt2", help=f"{', '.join(SHAPES)}, or a model's folder")
    parser.add_argument("--documents", type=int, default=100, help="where a case does not say")
    parser.add_argument("--fresh-shots", action="store_true", help="other shots for each document")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-batches", type=int, nargs="+", default=[1, 4, 16], help="the peer has the best of them")
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="where random models are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring.json"))
    for name in ("--worker", "--requests", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, nargs="+", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measure the cases asked for, write them beside those that are there, and print all."""
    arguments = arguments_parser().parse_args()
    if arguments.worker:
        case = json.loads(Path(arguments.requests).read_text())
        worker = arguments.worker
        found = peer_worker(arguments, case) if worker == "lm-eval" else own_worker(arguments, case, worker == "plain")
        print("\n" + json.dumps(found))
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    folder = model_folder(arguments.shape, arguments.models)
    with tempfile.TemporaryDirectory() as scratch:
        for case in arguments.cases:
            name = f"{Path(arguments.shape).name} {':'.join(case.split(':')[:2])}{'+' if arguments.fresh_shots else ''}"
            found = measure(case, arguments, folder, Path(scratch))
            versions = {package: version(package) for package in ("gpttasks", "torch", "transformers", "tokenizers")}
            results[name] = found | {"threads": arguments.threads, "versions": versions}
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
            print(name, found["parity"], file=sys.stderr)
    show(results)


if __name__ == "__main__":
    main()
