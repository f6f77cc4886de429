"""What a run has trained, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .backbones.base import LoadSettings, Precision
from .backbones.hf import dtype_name, quiet_transformers
from .errors import FolderError, UserError
from .run_backbone import RunBackbone, RunOptions, finished_recipe

if TYPE_CHECKING:
    from .plugins import Plugins


def export_run(folder: Path, merged: Path | None, plugins: Plugins, precision: Precision = "fp32") -> Path:
    """The folder with what the run trained of its backbone: its ``adapter/`` or ``model/``, or a merged copy.

    merged:
        a new folder for a stock Hugging Face model with the adapter merged into the weights, and the tokenizer.
    precision:
        of the merged weights; merging itself is done in fp32.

    Raises UserError if nothing of the backbone was trained, and FolderError if ``merged`` is not empty.
    """
    recipe = finished_recipe(folder)
    keeps: str | None = getattr(plugins.get("adaptation", recipe.adapt.name), "keeps", None)
    if keeps is None:
        raise UserError(f"the run {folder} is of adaptation {recipe.adapt.name!r}, which leaves the backbone as it was")
    if merged is None:
        return folder / keeps
    if merged.exists() and (not merged.is_dir() or any(merged.iterdir())):
        raise FolderError(f"{merged} is there already and not empty", hint="give a new folder")
    backbone = RunBackbone(RunOptions(path=str(folder)))
    backbone.load(LoadSettings(precision="fp32", keep_master=True))
    model = backbone.model.merge_and_unload() if keeps == "adapter" else backbone.model
    import torch

    model.to(getattr(torch, dtype_name(precision)))
    with quiet_transformers():
        model.save_pretrained(merged)
    backbone.tokenizer.inner.save_pretrained(merged)
    return merged
