"""The lighteval side of the scoring benchmark in a separate process, and the check of its answers in another.

    LIGHTEVAL/bin/python benchmarks/scoring_lighteval.py REQUESTS FOLDER --threads 1 --batches 16
    python benchmarks/scoring_lighteval.py REQUESTS FOLDER --threads 1 --batches 1 --check ROWS

Its environment has lighteval 0.13.0 with the same torch and transformers: ``pip install lighteval==0.13.0`` with
their versions pinned. It needs neither gpttasks nor lm_eval. The second form runs in gpttasks' environment.

Documents are lighteval's: a text and all continuations. Requests and answers are lighteval's own code, with one
exception: its cache of samples on disk is off, as a second run would read the numbers of the first.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scoring_cases import NEW_TOKENS, Document
from scoring_sides import Answering, scored

SKIPPED = {
    "rolling": "lighteval 0.13.0 has no log-likelihood of a long text to compare: its loglikelihood_rolling cuts the "
    "text to one window from the left, reads each token's log-likelihood from the output at the token itself rather "
    "than the one before it, and stops with an error if rows of a batch have different lengths, a start token "
    "stays before the text, or choices are None, as in its own wikitext task"
}
"""The kinds of requests that are skipped, and why."""


def open_model(arguments: argparse.Namespace) -> Any:
    """Lighteval's TransformersModel in fp32 on the CPU, without its cache, after a first forward pass."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    import torch
    from lighteval.models.transformers.transformers_model import TransformersModel, TransformersModelConfig
    from lighteval.tasks.requests import Doc

    folder = arguments.folder.resolve()
    os.chdir(folder.parent)  # with a path as its name, the model's cache would be in the model's folder
    with tempfile.TemporaryDirectory() as scratch:
        options = TransformersModelConfig(
            model_name=folder.name,
            batch_size=1,
            dtype="float32",
            device="cpu",
            model_parallel=False,
            override_chat_template=False,
            cache_dir=scratch,
        )
        model = TransformersModel(options)
    model._cache = None
    torch.set_num_threads(arguments.threads)
    model.loglikelihood([Doc("a", [" b"], 0)])
    return model


def worker(arguments: argparse.Namespace, case: dict[str, Any]) -> dict[str, Any]:
    """Answers with one batch size, or measures the CPU time of each of several."""
    with Answering() as loading:
        model = open_model(arguments)
    most_rows = watch_rows(model.model)
    if len(arguments.batches) > 1:
        part = case["texts"][: max(len(case["texts"]) // 4, *arguments.batches)]
        tried = {size: answers(model, case["kind"], part, size)[1].cpu_seconds for size in arguments.batches}
        return {"cpu_by_batch": tried}
    replies, answering = answers(model, case["kind"], case["texts"], arguments.batches[0])
    if case["kind"] == "generate":
        result: dict[str, Any] = {"values": [reply.text[0] for reply in replies]}
    else:
        result = {
            "values": [value for reply in replies for value in reply.logprobs],
            "greedy": [flag for reply in replies for flag in reply.argmax_logits_eq_gold],
            "rows": asked_rows(model, case["texts"]),
        }
    result |= {"load_seconds": loading.seconds, "load_cpu_seconds": loading.cpu_seconds, "batch": arguments.batches[0]}
    versions = {package: version(package) for package in ("lighteval", "torch", "transformers", "tokenizers")}
    return result | answering.numbers() | {"rows_at_once": max(most_rows), "versions": versions}


def watch_rows(network: Any) -> list[int]:
    """A list whose only entry is kept at the largest number of rows in one forward pass."""
    most_rows = [0]

    def look(_: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        most_rows[0] = max(most_rows[0], len(inputs[0] if inputs else keywords["input_ids"]))

    network.register_forward_pre_hook(look, with_kwargs=True)
    return most_rows


def answers(model: Any, kind: str, documents: list[Document], size: int) -> tuple[list[Any], Answering]:
    """Lighteval's replies to the documents, with their time and memory."""
    from lighteval.tasks.requests import Doc

    limits: dict[str, Any] = {"generation_size": NEW_TOKENS, "stop_sequences": []} if kind == "generate" else {}
    requests = [Doc(text, continuations, 0, **limits) for text, continuations in documents]
    model.config.batch_size = size
    with Answering() as answering:
        replies = (model.greedy_until if kind == "generate" else model.loglikelihood)(requests)
    return replies, answering


def asked_rows(model: Any, documents: list[Document]) -> list[tuple[list[int], int]]:
    """The token ids of each request as lighteval makes and cuts them, and the start of the continuation."""
    rows = []
    for text, continuations in documents:
        for before, after in zip(*model.tok_encode_pair(text, continuations, pairwise=True), strict=True):
            ids = [*before, *after][-model.max_length :]
            rows.append((ids, len(ids) - len(after)))
    return rows


def check(arguments: argparse.Namespace, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each request with other token ids than gpttasks: why, and their plain value if the answers differ.

    The file of ``--check`` holds the rows from ``asked_rows`` and the indices of values that differ.
    """
    import torch

    from gpttasks.backbones.base import LoadSettings
    from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
    from gpttasks.example import as_prompt
    from gpttasks.requests import LogLikelihood
    from gpttasks.tokens.rows import rows_of_request

    torch.set_num_threads(arguments.threads)
    backbone = HuggingFace(HuggingFaceOptions(path=str(arguments.folder)))
    backbone.load(LoadSettings())
    content = json.loads(arguments.check.read_text())
    different = set(content["different"])
    pairs = [(text, after) for text, continuations in case["texts"] for after in continuations]
    splits: dict[str, dict[str, Any]] = {}
    for index, ((text, after), (ids, start)) in enumerate(zip(pairs, content["rows"], strict=True)):
        (row,) = rows_of_request(backbone.tokenizer, LogLikelihood(as_prompt(text), after), backbone.context)
        if (ids, start) == (row.ids, row.start):
            continue
        why = "context and continuation are tokenised apart"
        if text != text.rstrip():
            why = "spaces before the join are moved behind it, and both sides of it are tokenised apart"
        splits[str(index)] = {"why": why}
        if index in different and start > 0:
            with torch.inference_mode():
                splits[str(index)]["value"] = scored(backbone, ids, start)
    return splits


def main() -> None:
    """Answer or check, and print the result as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=int, nargs="+", required=True)
    parser.add_argument("--check", type=Path, help="a file with the rows that lighteval requested")
    arguments = parser.parse_args()
    case = json.loads(arguments.requests.read_text())
    result = check(arguments, case) if arguments.check else worker(arguments, case)
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
