"""After the training: what was saved is loaded from disk, compared with the trained model, and used for scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PluginError, RunFailed, one_line
from ..example import prompt_text
from ..model.folder import dtype_name, load_causal_lm
from ..model.same_model import TOLERANCE, largest_difference, release_weights, rows_to_compare, token_logprobs
from ..plugins.faults import create
from ..records.folder import ENCODER_WEIGHTS, HEAD_TUNED, HEAD_WEIGHTS, MODEL
from ..records.plain_files import read_json
from ..records.sections import SavedRecord
from .active_run import ActiveRun
from .bind import load_settings
from .parts import PreparedRun

if TYPE_CHECKING:
    from torch import nn

    from ..model.causal_lm import CausalLM


def use_what_was_saved(run: ActiveRun, prepared: PreparedRun) -> None:
    """Replace the trained model in memory by what was saved of it; there is one model in memory at a time.

    Raises RunFailed if it computes other numbers than the trained one. The checkpoints are kept then.
    """
    import torch

    lm = prepared.backbone.lm
    assert lm is not None
    texts = [prompt_text(example.prompt) for example in prepared.scored[:32]]
    rows = rows_to_compare(lm.tokenizer, texts, lm.context)
    dtype = getattr(torch, dtype_name(prepared.precision)) if prepared.adaptation.trains_weights else torch.float32
    with lm.computing_in(dtype):  # for float32 as it is: adapters stay in the precision that PEFT gave them
        trained = token_logprobs(lm.model, rows)
    _check_modules(run, prepared)
    if prepared.adaptation.keeps:
        _load(run, prepared, lm)
    difference = largest_difference(trained, token_logprobs(lm.model, rows))
    tolerance = TOLERANCE[prepared.precision]
    run.record.saved = SavedRecord(texts=len(rows), difference=min(difference, 1e9), tolerance=tolerance)
    if difference > tolerance:
        raise RunFailed(
            f"what was saved in {run.folder / str(prepared.adaptation.keeps)} is not what was trained: a token's "
            f"log-probability differs by {difference:.4g} nats, expected at most {tolerance:g}",
            hint="the checkpoints are kept; leave out unusual options under adapt, and please report this",
        )


def _load(run: ActiveRun, prepared: PreparedRun, lm: CausalLM) -> None:
    """Put the saved weights on the model: an adapter on the base in memory, if that is as it was loaded."""
    keeps = str(prepared.adaptation.keeps)
    trained = {name for name, value in lm.model.named_parameters() if value.requires_grad}
    frozen = any(not value.requires_grad for value in lm.model.parameters())
    if keeps != MODEL and frozen and _removed(run, prepared, lm) and lm.is_unaltered():
        prepared.adaptation.load(lm, run.folder / keeps)
    else:
        if prepared.model is not None:
            prepared.model.altered = True
        _load_anew(run, prepared, lm, keeps)
    lm.model.eval()
    for name, value in lm.model.named_parameters():  # what is trained is part of the signature and of the cache's key
        value.requires_grad_(name in trained)


def _removed(run: ActiveRun, prepared: PreparedRun, lm: CausalLM) -> bool:
    """Whether the adaptation was taken off the model. If a plugin fails, the base is loaded anew."""
    try:
        return prepared.adaptation.remove(lm)
    except PluginError as error:
        run.warn(f"the backbone is loaded again: {one_line(error)}")
        return False


def _load_anew(run: ActiveRun, prepared: PreparedRun, lm: CausalLM, keeps: str) -> None:
    device, attention = str(lm.device), lm.causal_lm.config._attn_implementation
    release_weights(lm.model)
    if keeps == MODEL:
        lm.model = load_causal_lm(run.folder / MODEL, device, dtype_name(prepared.precision))
        lm.model.set_attn_implementation(attention)
        return
    use = prepared.recipe.backbone
    base = create(run.plugins, "backbone", use.name, use.options)
    base.load(load_settings(prepared, run.plugins, prepared.device, prepared.precision))
    prepared.adaptation.load(base.lm, run.folder / keeps)
    lm.model = base.lm.model


def _check_modules(run: ActiveRun, prepared: PreparedRun) -> None:
    """Whether the files of head and encoder hold what is in memory."""
    parts: list[tuple[nn.Module | None, str]] = [(prepared.head.modules(), HEAD_WEIGHTS)]
    if prepared.encoder is not None:
        parts.append((prepared.encoder.modules(), ENCODER_WEIGHTS))
    for modules, name in parts:
        if modules is not None:
            _check_tensors(modules, run.folder / name)
    tuned = run.folder / HEAD_TUNED
    written = read_json(tuned, hint=f"remove {tuned}, and run the same command again") if tuned.exists() else {}
    if written != json.loads(json.dumps(prepared.head.tuned or {})):
        raise RunFailed(
            f"{tuned} does not hold what the head was tuned to: something else has written it",
            hint="remove it, and run the same command again; it goes on from the checkpoints",
        )


def _check_tensors(modules: nn.Module, file: Path) -> None:
    import torch
    from safetensors.torch import load_file

    found, wanted = load_file(file), modules.state_dict()
    different = [
        name
        for name in sorted({*found, *wanted})
        if name not in found or name not in wanted or not torch.equal(found[name], wanted[name].detach().cpu())
    ]
    if different:
        raise RunFailed(
            f"{file} does not hold what was trained: {different[0]} differs",
            hint="the checkpoints are kept; please report this",
        )
