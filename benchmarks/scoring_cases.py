"""The cases of the scoring benchmark (strings, rendered once) and its models (random weights)."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = tuple[str, list[str]]
"""A context and its continuations."""

KINDS = {"wikitext2": "rolling", "e2e_nlg": "generate"}
NEW_TOKENS = 64
"""The number of tokens of a generated text."""
GPT2 = {"n_layer": 8, "n_head": 8, "n_embd": 512, "n_positions": 2048}
SMALL = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 2048, "vocab_size": 50257}
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


def rows_of(data: Path, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """The rows to score, and the rows for shots; None if shots are drawn from the rows that are not scored."""
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
    """A row's context, its continuations, and the index of the right one."""
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
    """The content of a case, as the workers read it."""
    name, shots, count = (*case.split(":"), "")[:3]
    most_shots, most_documents = int(shots or 0), int(count or arguments.documents)
    kind = KINDS.get(name, "loglikelihood")
    rows, pool = rows_of(arguments.data, name)
    rng = random.Random(1)
    rng.shuffle(rows)
    if pool is None:
        pool, rows = rows[:500], rows[500:] if most_shots else rows
    too_long = length_check(folder, kind)
    for shots_used in range(most_shots, -1, -1):
        drawn = random.Random(2)
        fixed = drawn.sample(pool, shots_used)
        documents: list[Document] = []
        skipped = 0
        for row in rows:
            before = "".join(
                shot(name, row) for row in (drawn.sample(pool, shots_used) if arguments.fresh_shots else fixed)
            )
            context, continuations, _ = rendered(name, row)
            if too_long(before + context, continuations):
                skipped += 1
            else:
                documents.append((before + context, [] if kind == "generate" else continuations))
            if len(documents) == most_documents or (shots_used and skipped * 10 > most_documents):
                break
        if len(documents) == most_documents or not shots_used:
            break
    about = {
        "kind": kind,
        "documents": len(documents),
        "shots": shots_used,
        "shots_asked": most_shots,
        "passed_over": skipped,
    }
    return about | {"texts": documents}


def shot(name: str, row: dict[str, Any]) -> str:
    """A solved example."""
    context, continuations, right = rendered(name, row)
    return f"{context}{continuations[right]}\n\n"


def length_check(folder: Path, kind: str) -> Callable[[str, list[str]], bool]:
    """A function that says whether a document is too long for the model; a rolling document never is."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    room = AutoConfig.from_pretrained(folder).max_position_embeddings - 2 - (NEW_TOKENS if kind == "generate" else 0)

    def too_long(context: str, continuations: list[str]) -> bool:
        texts = [context] if kind == "generate" else [context + continuation for continuation in continuations]
        return kind != "rolling" and max(len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]) > room

    return too_long


def model_folder(shape: str, cache: Path) -> Path:
    """The folder of a model: ``shape`` itself, or random weights of that shape with nano's tokenizer, created once."""
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
        # Larger than the usual 0.02, so that log-likelihoods clearly depend on the context.
        config = AutoConfig.for_model(kind, **(options | sizes), initializer_range=0.05)
        AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
        tokenizer.model_max_length = config.max_position_embeddings
        tokenizer.save_pretrained(folder)
    return folder
