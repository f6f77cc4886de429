"""Are replies the same for every engine, batch size, order and number of processes?

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/scoring_invariance.py --data DATA
    python benchmarks/scoring_invariance.py --data DATA --shape MODELS/stories260K

The requests are multiple choice (arc_easy after 3 fixed shots, hellaswag without shots), the last words of lambada, an
article of wikitext2 with two window strides, and greedy generation for the inputs of e2e_nlg. The reference is the
plain engine with ``tokens_per_batch`` 1: each request is one batch.

Ways:

    shared N, plain N   the engine with ``tokens_per_batch`` N
    shuffled N          the shared engine with its defaults, the requests in another order (seed N)
    processes N         the shared engine in N processes that ``torch.distributed.run`` starts

Differences are those of log-likelihoods in nats, including generated texts if the text is the same. A text that differs
had a near tie if its reply or the reference's reply says so. A choice is the most likely option of a question; its
margin is the difference between the first two options in the reference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoring_cases import SHAPES, model_folder, rendered, rows_of, shot

if TYPE_CHECKING:
    from gpttasks.backbones.hf import HuggingFace
    from gpttasks.engine.plain import LocalEngine

Replies = list[dict[str, Any]]
"""Replies as JSON values."""

BATCHES = (1, 64, 512, 4096, 10**6)
TOLERANCE = 1e-4
SHOTS = 3
POOL = 500
"""The number of rows of arc_easy from which shots are drawn; they are not scored."""
NEW_TOKENS = 24


@dataclass
class Asked:
    """The requests, the kind of each, and the indices of the options of each question."""

    requests: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    questions: list[list[int]] = field(default_factory=list)

    def add(self, kind: str, requests: Sequence[Any]) -> None:
        """Add requests of one kind; several are the options of one question."""
        if len(requests) > 1:
            self.questions.append(list(range(len(self.requests), len(self.requests) + len(requests))))
        self.requests += requests
        self.kinds += [kind] * len(requests)


def everything(arguments: argparse.Namespace, backbone: HuggingFace) -> Asked:
    """All requests, as many of each kind as the arguments say."""
    from gpttasks.example import as_prompt
    from gpttasks.requests import Generate, LogLikelihood, Rolling

    def fits(text: str, room: int = 1) -> bool:
        return len(backbone.tokenizer.encode(text)) + room < backbone.context

    asked = Asked()
    counts = {"arc_easy": arguments.questions, "hellaswag": arguments.questions, "lambada": arguments.words}
    for name, count in counts.items():
        rows, _ = rows_of(arguments.data, name)
        random.Random(1).shuffle(rows)
        before = ""
        if name == "arc_easy":
            before = "".join(shot(name, row) for row in random.Random(2).sample(rows[:POOL], SHOTS))
            rows = rows[POOL:]
        documents = (rendered(name, row)[:2] for row in rows)
        fitting = (one for one in documents if all(fits(before + one[0] + after) for after in one[1]))
        for (context, continuations), _ in zip(fitting, range(count), strict=False):
            prompt, beside = as_prompt(before + context), tuple(continuations)
            asked.add(name, [LogLikelihood(prompt, after, beside) for after in continuations])
    articles = sorted((row["text"] for row in rows_of(arguments.data, "wikitext2")[0]), key=len)
    # The shortest article that needs several windows.
    long = next((text for text in articles if not fits(text, -2 * backbone.context)), articles[-1])
    for stride in (None, backbone.context // 2):
        asked.add("wikitext2", [Rolling(as_prompt(long), stride)])
    for row in rows_of(arguments.data, "e2e_nlg")[0][:: 600 // arguments.texts][: arguments.texts]:
        asked.add("e2e_nlg", [Generate(as_prompt(rendered("e2e_nlg", row)[0]), NEW_TOKENS)])
    return asked


def loaded(arguments: argparse.Namespace, folder: Path) -> HuggingFace:
    """The model, as a run of gpttasks loads it."""
    import torch

    from gpttasks.allocator import keep_freed_memory
    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder), context=arguments.context))
    backbone.load(LoadSettings())
    return backbone


def worker(arguments: argparse.Namespace) -> None:
    """One of several processes: answers its share, as in a run; the first process writes all replies to a file."""
    from gpttasks.engine.sharded import ShardedEngine, answer_share
    from gpttasks.engine.shared import SharedEngine
    from gpttasks.parallel.processes import Processes

    processes = Processes("cpu")
    engines: list[LocalEngine] = []

    def load(_: None) -> None:
        engines.append(SharedEngine(loaded(arguments, arguments.folder)))

    def answer(shared: tuple[Sequence[Any], Sequence[Sequence[int]]]) -> tuple[list[Any], dict[str, Any]]:
        requests, shares = shared
        return answer_share(engines[0], requests, shares[processes.rank])

    if processes.rank:
        processes.help({"load": load, "answer": answer})
        return
    with processes.leading():
        processes.together(("load", None), lambda: load(None))
        inner = engines[0]
        engine = ShardedEngine(inner, processes)
        replies = engine.answer(everything(arguments, inner.lm).requests)  # type: ignore[arg-type]
    result = {"replies": [asdict(reply) for reply in replies], "work": engine.work()}
    arguments.worker.write_text(json.dumps(result))


def by_processes(count: int, arguments: argparse.Namespace, folder: Path) -> tuple[Replies, dict[str, Any]]:
    """The replies of ``count`` processes, and their work. Raises RuntimeError with their output if they failed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "replies.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        command += [__file__, "--worker", str(out), "--folder", str(folder), "--data", str(arguments.data)]
        for name in ("threads", "context", "questions", "words", "texts"):
            command += [f"--{name}", str(getattr(arguments, name))]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(arguments.threads))
        process = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | threads | {"TOKENIZERS_PARALLELISM": "false"}
        )
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{process.stderr[-3000:]}")
        result = json.loads(out.read_text())
    return result["replies"], result["work"]


def by_engine(way: str, backbone: HuggingFace, asked: Asked) -> tuple[Replies, dict[str, Any]]:
    """The replies of a new engine in this process, in the order of the requests, and its work."""
    from gpttasks.engine.plain import LocalEngine
    from gpttasks.engine.shared import SharedEngine

    kind, number = way.split()
    order = list(range(len(asked.requests)))
    if kind == "shuffled":
        random.Random(int(number)).shuffle(order)
    tokens = None if kind == "shuffled" else int(number)
    engine = (LocalEngine if kind == "plain" else SharedEngine)(backbone, tokens_per_batch=tokens)
    replies = dict(zip(order, engine.answer([asked.requests[index] for index in order]), strict=True))
    return [asdict(replies[index]) for index in range(len(order))], engine.work()


def comparison(asked: Asked, reference: Replies, replies: Replies) -> dict[str, Any]:
    """The differences between one way's replies and the reference's."""
    differences: dict[int, float] = {}
    texts: list[dict[str, Any]] = []
    for index, (plain, other) in enumerate(zip(reference, replies, strict=True)):
        if plain.get("text") == other.get("text"):
            differences[index] = abs(plain["logprob"] - other["logprob"])
        else:
            texts.append({"request": index, "near_tie": bool(plain["near_tie"] or other["near_tie"])})
    largest = max(differences, key=lambda index: differences[index])
    by_kind: dict[str, float] = {}
    for index, difference in differences.items():
        by_kind[asked.kinds[index]] = max(by_kind.get(asked.kinds[index], 0.0), difference)
    beyond = [
        index
        for index, difference in differences.items()
        if difference > max(TOLERANCE, abs(reference[index]["logprob"]) * 2**-22)
    ]
    return {
        "requests": len(reference),
        "compared": len(differences),
        "identical": sum(difference == 0 for difference in differences.values()),
        "largest_difference": differences[largest],
        "largest_difference_at": {"kind": asked.kinds[largest], "logprob": reference[largest]["logprob"]},
        "largest_difference_by_kind": by_kind,
        "above_tolerance": sum(difference > TOLERANCE for difference in differences.values()),
        "above_tolerance_and_size": len(beyond),
        "greedy_flags": sum(a.get("greedy") != b.get("greedy") for a, b in zip(reference, replies, strict=True)),
        "texts": asked.kinds.count("e2e_nlg"),
        "texts_different": texts,
        "questions": len(asked.questions),
        "choices_different": choices_different(asked, reference, replies),
    }


def choices_different(asked: Asked, reference: Replies, replies: Replies) -> list[dict[str, Any]]:
    """The questions for which another option is the likeliest, with the reference's margin."""
    different = []
    for question in asked.questions:
        plain = sorted(question, key=lambda index: -reference[index]["logprob"])
        other = max(question, key=lambda index: replies[index]["logprob"])
        if other != plain[0]:
            margin = reference[plain[0]]["logprob"] - reference[plain[1]]["logprob"]
            different.append({"request": plain[0], "chosen": other, "margin": margin})
    return different


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{results['requests']}; reference: {results['reference']}")
    print("Differences in nats; >size: above max(1e-4, 2**-22 * |value|); (…): of them with a near tie, or margins.")
    print(
        f"{'':15} {'requests':>8} {'same bits':>9} {'max diff':>9} {'at value':>10} {'of':10} {'max others':>10}"
        f" {'>1e-4':>6} {'>size':>6} {'greedy':>6} {'texts':>9} {'choices':>8} {'tokens read':>11}"
    )
    for way, result in results["ways"].items():
        at, texts, choices = result["largest_difference_at"], result["texts_different"], result["choices_different"]
        others = [value for kind, value in result["largest_difference_by_kind"].items() if kind != at["kind"]]
        tied = sum(text["near_tie"] for text in texts)
        margins = ", ".join(f"{choice['margin']:.1e}" for choice in choices)
        print(
            f"{way:15} {result['requests']:8} {result['identical']:9} {result['largest_difference']:9.1e}"
            f" {at['logprob']:10.1f} {at['kind']:10} {max(others, default=0.0):10.1e} {result['above_tolerance']:6}"
            f" {result['above_tolerance_and_size']:6} {result['greedy_flags']:6} {f'{len(texts)} ({tied})':>9}"
            f" {f'{len(choices)} ({margins})' if choices else 0:>8} {result['work']['tokens_read']:11}"
        )


def arguments_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with arc_easy, hellaswag, lambada, …")
    parser.add_argument("--shape", default="gpt2", help=f"{', '.join(SHAPES)}, or a model's folder")
    parser.add_argument("--context", type=int, default=512, help="the maximum tokens of a row")
    parser.add_argument("--questions", type=int, default=10, help="questions of arc_easy, and of hellaswag")
    parser.add_argument("--words", type=int, default=20, help="last words of lambada")
    parser.add_argument("--texts", type=int, default=12, help="texts to generate")
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES), help="values of tokens_per_batch")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="seeds of the orders")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", type=Path, default=Path("runs/scoring-models"), help="the folder for random models")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_invariance.json"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Request the same replies in all ways, compare them, and write and print the differences."""
    arguments = arguments_parser().parse_args()
    if arguments.worker:
        worker(arguments)
        return
    folder = model_folder(arguments.shape, arguments.models)
    backbone = loaded(arguments, folder)
    asked = everything(arguments, backbone)
    kinds = {kind: asked.kinds.count(kind) for kind in asked.kinds}
    packages = ("gpttasks", "torch", "transformers", "tokenizers")
    results: dict[str, Any] = {
        "versions": {package: version(package) for package in packages},
        "shape": Path(arguments.shape).name,
        "context": backbone.context,
        "threads": arguments.threads,
        "requests": kinds,
        "reference": "plain 1",
        "ways": {},
    }
    reference, _ = by_engine("plain 1", backbone, asked)
    ways = [f"{kind} {tokens}" for kind in ("plain", "shared") for tokens in arguments.batches]
    ways += [f"shuffled {seed}" for seed in arguments.seeds]
    ways += [f"processes {count}" for count in arguments.processes]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for way in ways:
        kind, number = way.split()
        by = by_processes(int(number), arguments, folder) if kind == "processes" else by_engine(way, backbone, asked)
        results["ways"][way] = comparison(asked, reference, by[0]) | {"work": by[1]}
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")
        print(f"{way}: {results['ways'][way]['largest_difference']:.1e}", file=sys.stderr)
    show(results)


if __name__ == "__main__":
    main()
