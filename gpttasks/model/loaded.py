"""A loaded model: its context, its activations, and the digests of its weights and config."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackboneError, one_line
from ..hashing import content_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


NOT_COMPUTED_WITH = frozenset({"_name_or_path", "architectures", "auto_map", "dtype", "transformers_version"})
"""Config keys for the origin of a model or its stored precision: no output depends on them."""


def fuse_activations(model: PreTrainedModel) -> None:
    """Compute GPT-2's GELU in one operation instead of eight: the same function, five times as fast on a CPU."""
    import torch
    from transformers.activations import NewGELUActivation

    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def model_context(config: Any) -> int | None:
    """The maximum number of positions in a model's config; None if the config has no limit."""
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def usable_context(config: Any, requested: int | None) -> int:
    """The maximum number of tokens in a row: ``requested``, else the model's limit, else 1024.

    Raises BackboneError if ``requested`` is above the model's limit.
    """
    limit = model_context(config)
    if requested and limit and requested > limit:
        raise BackboneError(
            f"backbone.context is {requested}, but the model has only {limit} positions",
            hint=f"set backbone.context to {limit} or less",
        )
    return requested or limit or 1024


def fitting_context(folder: Path, tokenizer: Any, requested: int | None) -> int:
    """The :func:`usable_context` of the model in a folder, without reading its weights.

    Raises BackboneError, also if the tokenizer of transformers has tokens that the model does not have.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # for values that do not fit, transformers and its models raise errors of many types
        raise BackboneError(f"{folder / 'config.json'} cannot be used: {one_line(error)}") from error
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if isinstance(rows, int):  # loading the weights checks that the embedding has this many rows
        check_vocabulary(tokenizer, rows)
    return usable_context(config, requested)


def check_vocabulary(tokenizer: Any, rows: int) -> None:
    """Raise BackboneError if a tokenizer of transformers has tokens beyond the ``rows`` rows of the embedding."""
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1], default=("", -1))
    if largest >= rows:
        raise BackboneError(
            f"the tokenizer has ids up to {largest} ({token!r}), and the embedding of the model has {rows} rows, "
            f"for the ids 0 to {rows - 1}",
            hint="take the tokenizer that the model was trained with, or enlarge the model's embedding with "
            "model.resize_token_embeddings",
        )


def config_digest(model: PreTrainedModel) -> str:
    """The SHA-256 of everything that determines how the weights are used, and which tokens end a text."""
    settings = {name: value for name, value in model.config.to_dict().items() if name not in NOT_COMPUTED_WITH}
    return content_digest([settings, getattr(model.generation_config, "eos_token_id", None)])


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of the names, dtypes, shapes and bytes of tensors, sorted by name."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
