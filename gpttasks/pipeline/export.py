"""Exports what a run has trained, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..adaptations.lora import merge_adapter
from ..backbones.base import LoadSettings
from ..backbones.run import RunBackbone, RunOptions, finished_recipe
from ..errors import FolderError, UserError, full_disk
from ..files import atomic_folder
from ..model.folder import dtype_name, quiet_transformers
from ..runtime import Precision
from .session import Session

if TYPE_CHECKING:
    from ..model.causal_lm import CausalLM
    from ..plugins import Plugins


def export_run(folder: Path, merged: Path | None, plugins: Plugins, precision: Precision = "fp32") -> Path:
    """The folder with the part of the backbone that the run trained: its ``adapter/`` or ``model/``, or a merged copy.

    merged:
        a new folder for a stock Hugging Face model with the adapter merged into the weights, and the tokenizer.
    precision:
        the precision of the merged weights; the merging itself is done in fp32.

    Raises UserError if nothing of the backbone was trained, and FolderError if ``merged`` is not empty.
    """
    recipe = finished_recipe(folder, plugins)
    keeps: str | None = getattr(plugins.get("adaptation", recipe.adapt.name), "keeps", None)
    if keeps is None:
        raise UserError(f"the run {folder} has adaptation {recipe.adapt.name!r}, which does not change the backbone")
    if merged is None:
        return folder / keeps
    if merged.exists() and (not merged.is_dir() or any(merged.iterdir())):
        raise FolderError(f"{merged} exists and is not empty", hint="give a new folder")
    backbone = RunBackbone(RunOptions(path=str(folder)))
    settings = LoadSettings(keep_master=True, plugins=plugins)
    with Session(plugins) as session, session.models.borrow(backbone, settings) as model:
        lm = model.backbone.lm
        assert lm is not None  # something was trained
        model.altered = True
        merge_adapter(lm)
        try:
            with atomic_folder(merged) as aside:
                save_model(lm, aside, precision)
        except Exception as error:  # safetensors and tokenizers have their own errors for a full disk
            raise full_disk(error) or error from error
    return merged


def save_model(lm: CausalLM, folder: Path, precision: Precision) -> None:
    """Write model and tokenizer as a stock Hugging Face folder."""
    import torch

    lm.model.to(getattr(torch, dtype_name(precision)))
    with quiet_transformers():
        lm.model.save_pretrained(folder)
    lm.tokenizer.inner.save_pretrained(folder)
