"""A PEFT adapter loaded from its folder: every tensor has to be there, fit and be finite."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackboneError, FolderError, one_line
from ..model.folder import check_json_files
from .saved_weights import RESTORE, check_finite, misfit, read_shapes, weight_files

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """The model wrapped with the adapter.

    PEFT leaves what is missing as it was initialised, skips what it does not know, and opens pickles: all are refused
    here. Raises FolderError for files that are missing or damaged, BackboneError for an adapter of another model.
    """
    from peft import PeftModel

    weight_files(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FolderError(f"the adapter in {folder} has no {name}", hint=RESTORE)
    check_json_files(folder)
    file = folder / WEIGHTS
    shapes = read_shapes(file)
    try:
        adapted: PeftModel = PeftModel.from_pretrained(model, folder)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        raise BackboneError(
            f"the adapter in {folder} does not fit the backbone: {one_line(error)}",
            hint="use the backbone on which the adapter was trained",
        ) from error
    needed, allowed = _expected(adapted, embeddings=False), _expected(adapted, embeddings=True)
    if problem := misfit(shapes, allowed, frozenset(allowed.keys() - needed.keys())):
        raise BackboneError(
            f"the adapter in {file} does not fit the backbone: {problem}",
            hint="use the backbone and the options with which the adapter was trained",
        )
    # As PEFT has read them, so that the file is read once.
    check_finite(file, {name: allowed[name] for name in shapes})
    return adapted


def _expected(adapted: PeftModel, *, embeddings: bool) -> dict[str, torch.Tensor]:
    """The tensors that PEFT saves of an adapted model, with or without the embeddings that it may add."""
    from peft import get_peft_model_state_dict

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state: dict[str, torch.Tensor] = get_peft_model_state_dict(adapted, save_embedding_layers=embeddings)
    return state
