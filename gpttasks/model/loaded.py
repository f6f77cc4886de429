"""A loaded model: its context, its activations, and the digests of its weights and config."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackboneError
from ..hashing import content_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


NOT_COMPUTED_WITH = frozenset({"_name_or_path", "architectures", "auto_map", "dtype", "transformers_version"})
"""Keys of a config that say where a model comes from, or what its precision was: no number depends on them."""


def fuse_activations(model: PreTrainedModel) -> None:
    """Let GPT-2's GELU be one operation instead of eight: the same function, five times as fast on a CPU."""
    import torch
    from transformers.activations import NewGELUActivation

    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def model_context(config: Any) -> int | None:
    """The most positions that a model's config allows, None if it names no limit."""
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def usable_context(config: Any, asked: int | None) -> int:
    """The longest row: the requested length, else the longest that the model allows; 1024 if neither is known.

    Raises BackboneError if the model does not allow the requested length.
    """
    own = model_context(config)
    if asked and own and asked > own:
        raise BackboneError(
            f"backbone.context is {asked}, but the model has no more than {own} positions",
            hint=f"ask for {own} or less",
        )
    return asked or own or 1024


def folder_context(folder: Path, asked: int | None) -> int:
    """The :func:`usable_context` of the model in a folder, whose weights are not read. Raises BackboneError."""
    from transformers import AutoConfig

    return usable_context(AutoConfig.from_pretrained(folder, trust_remote_code=False), asked)


def config_digest(model: PreTrainedModel) -> str:
    """SHA-256 of what settles how the weights are used (heads, activation, scales) and which tokens end a text."""
    settings = {name: value for name, value in model.config.to_dict().items() if name not in NOT_COMPUTED_WITH}
    return content_digest([settings, getattr(model.generation_config, "eos_token_id", None)])


def state_digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the names, shapes and bytes of tensors, sorted by name."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
