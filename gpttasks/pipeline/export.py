"""Exports what a run has trained, for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..adaptations.merge import merge_adapter
from ..adaptations.saved_weights import check_own_weights
from ..backbones.base import LoadSettings
from ..backbones.run import RunBackbone, RunOptions, finished_recipe
from ..component import with_origin
from ..errors import FolderError, RunFailed, UserError, full_disk
from ..files import atomic_folder
from ..model.folder import dtype_name, load_causal_lm, quiet_transformers
from ..model.same_model import TOLERANCE, largest_difference, release_weights, rows_to_compare, token_logprobs
from ..records.folder import ENCODER_WEIGHTS, HEAD_TUNED, HEAD_WEIGHTS
from ..records.run import read_run
from ..runtime import Precision
from ..terminal import say
from ..trust import CodeOrigin
from .session import Session

if TYPE_CHECKING:
    import torch

    from ..model.causal_lm import CausalLM
    from ..plugins import Plugins
    from ..records.dependencies import Kind


def export_run(
    folder: Path,
    merged: Path | None,
    plugins: Plugins,
    precision: Precision = "fp32",
    accepted: Sequence[Kind] = (),
    *,
    trust_code: bool = False,
) -> Path:
    """The folder with the part of the backbone that the run trained: its ``adapter/`` or ``model/``, or a merged copy.

    merged:
        a new folder for a stock Hugging Face model with the adapter merged into the weights, and the tokenizer.
    precision:
        the precision of the merged weights; the merging itself is done in fp32.
    accepted:
        what may differ from what the run was made with, such as ``base``.
    trust_code:
        whether Python code may be run that the run's recipe names or that lies in its folder.

    Raises UserError if nothing of the backbone was trained, FolderError if ``merged`` is not empty, and RunFailed if
    the merged model, loaded from disk, computes other numbers than the run's.
    """
    recipe = finished_recipe(folder, plugins, trust_code=trust_code)
    keeps: str | None = getattr(plugins.get("adaptation", recipe.adapt.name), "keeps", None)
    if keeps is None:
        raise UserError(f"the run {folder} has adaptation {recipe.adapt.name!r}, which does not change the backbone")
    if merged is None:
        run = read_run(folder)
        if run.edited is not None:
            say(f"warning: {run.edited}")
        check_own_weights(folder, keeps, run.record.files, (keeps,))
        return folder / keeps
    if merged.exists() and (not merged.is_dir() or any(merged.iterdir())):
        raise FolderError(f"{merged} exists and is not empty", hint="give a new folder")
    _write_merged(RunOptions(path=str(folder), accept_changed=tuple(accepted)), merged, plugins, precision, trust_code)
    return merged


def _write_merged(options: RunOptions, merged: Path, plugins: Plugins, precision: Precision, trust_code: bool) -> None:
    """Merge the adapter of a run and write the whole model, both compared with what the run computes."""
    backbone = RunBackbone(with_origin(options, CodeOrigin(trusted=trust_code)))
    settings = LoadSettings(keep_master=True, plugins=plugins)
    with Session(plugins) as session, session.models.borrow(backbone, settings) as model:
        lm = model.backbone.lm
        assert lm is not None  # something was trained
        for text in (*backbone.changes_as_text(), *backbone.unknown):
            say(f"warning: {text}")
        model.altered = True
        rows = rows_to_compare(
            lm.tokenizer, (one.input for one in read_run(Path(options.path)).samples()[:32]), lm.context
        )
        before = token_logprobs(lm.model, rows)
        merge_adapter(lm)
        _check(before, token_logprobs(lm.model, rows), "fp32", "merged into the weights, the adapter")
        try:
            with atomic_folder(merged) as aside:
                save_model(lm, aside, precision)
                before = token_logprobs(lm.model, rows)
                release_weights(lm.model)
                again = load_causal_lm(aside, dtype=dtype_name(precision))
                _check(before, token_logprobs(again, rows), precision, "loaded from disk, the merged model")
        except Exception as error:  # safetensors and tokenizers have errors of their own for a full disk
            raise full_disk(error) or error from error


def _check(before: Iterable[torch.Tensor], after: Iterable[torch.Tensor], precision: Precision, what: str) -> None:
    difference = largest_difference(list(before), list(after))
    if difference > TOLERANCE[precision]:
        raise RunFailed(
            f"{what} computes other numbers than the run: a token's log-probability differs by {difference:.4g} nats, "
            f"expected at most {TOLERANCE[precision]:g} in {precision}",
            hint="nothing was exported; the adapter in the run is unchanged",
        )


def left_out(folder: Path) -> list[str]:
    """What a run has trained or tuned beside its backbone, which is in no exported model folder: paths in the run."""
    return [name for name in (HEAD_WEIGHTS, ENCODER_WEIGHTS, HEAD_TUNED) if (folder / name).exists()]


def save_model(lm: CausalLM, folder: Path, precision: Precision) -> None:
    """Write model and tokenizer as a stock Hugging Face folder."""
    import torch

    lm.model.to(getattr(torch, dtype_name(precision)))
    with quiet_transformers():
        lm.model.save_pretrained(folder)
    lm.tokenizer.save(folder)
