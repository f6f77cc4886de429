"""A run's ``head/``: the trained head and encoder, written and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adaptations.saved_weights import RESTORE, misfit, read_tensors
from ..backbones.run import RunBackbone
from ..errors import BackboneError, FolderError
from ..files import atomic_file
from ..recipe.document import read_document
from ..records.folder import ADAPTER, ENCODER_WEIGHTS, HEAD_TUNED, HEAD_WEIGHTS, MODEL, RECIPE
from ..records.own_files import check_own_files
from ..records.plain_files import read_json_object
from ..records.run import RECORD, read_run

if TYPE_CHECKING:
    from torch import nn

    from ..adaptations.base import Adaptation
    from ..encoders.base import Encoder
    from ..heads.base import Head
    from ..recipe.schema import Use
    from ..records.folder import RunFolder

FITS = "fits"


def save_head(head: Head, folder: RunFolder) -> None:
    """Write the head's modules, with ``head.fits()`` as metadata, and its tuned settings, if it has them."""
    modules = head.modules()
    if modules is not None:
        _save_modules(modules, folder / HEAD_WEIGHTS, {FITS: json.dumps(head.fits())})
    if head.tuned:
        folder.write_text(HEAD_TUNED, json.dumps(head.tuned, allow_nan=False) + "\n")


def refuse_foreign_files(adaptation: Adaptation, head: Head, folder: Path) -> None:
    """Raise FolderError if an unfinished run's folder has weights or settings that this run never writes: those of
    another adaptation, or tuned settings although its head has nothing to tune."""
    for name in (ADAPTER, MODEL):
        if name != adaptation.keeps and (folder / name).exists():
            raise FolderError(
                f"{folder / name} is not a folder of this run: its adaptation {adaptation.name!r} does not write it",
                hint="remove it, and run the same command again",
            )
    if not head.tunes and not head.tuned and (folder / HEAD_TUNED).exists():
        raise FolderError(
            f"{folder / HEAD_TUNED} is not a file of this run: its head {head.name!r} has no settings to tune",
            hint="remove it, and run the same command again",
        )


def save_encoder(encoder: Encoder, folder: RunFolder) -> None:
    """Write the encoder's trained modules."""
    _save_modules(encoder.modules(), folder / ENCODER_WEIGHTS)


def _save_modules(modules: nn.Module, file: Path, metadata: dict[str, str] | None = None) -> None:
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in modules.state_dict().items()}
    with atomic_file(file) as aside:
        save_file(tensors, aside, metadata=metadata)


def load_encoder(encoder: Encoder, backbone: RunBackbone) -> None:
    """Load a run's trained encoder modules into ``encoder``.

    Raises BackboneError if the run has no encoder of this kind, or one of other sizes, and FolderError for a file that
    is missing, damaged or not finite.
    """
    file = check_encoder_of_run(encoder.name, backbone)
    modules = encoder.modules()
    tensors, _ = read_tensors(file)
    if problem := misfit(tensors, modules.state_dict()):
        raise BackboneError(
            f"the encoder in {file} does not fit: {problem}",
            hint="it was trained with other options, or for a backbone of another hidden size",
        )
    modules.load_state_dict(tensors)


def check_encoder_of_run(name: str, backbone: RunBackbone) -> Path:
    """The file of the encoder that a run has trained. Raises BackboneError if that is not an encoder ``name``."""
    use, file = backbone.recipe.encoder, backbone.trained_file(ENCODER_WEIGHTS)
    if use is None or use.name != name or not file.exists():
        raise BackboneError(
            f"encoder {name!r} has to be trained, but the run {backbone.options.path} has "
            f"{'no encoder' if use is None else f'encoder {use.name!r}'}",
            hint="choose an adaptation other than none, or a run with this encoder",
        )
    return file


def load_head(head: Head, backbone: RunBackbone) -> None:
    """Load a run's trained head modules and tuned settings into ``head``.

    Raises BackboneError if the run's head is of another kind, or was trained for another set of answers.
    """
    modules = head.modules()
    if modules is not None:
        _load_modules(head, backbone.head_weights(head.name))
    tuned = backbone.trained_file(HEAD_TUNED)
    if backbone.recipe.head.name == head.name and tuned.exists():
        head.tuned = read_json_object(tuned, hint=RESTORE)


def tuned_by_run(backbone: Use, head: Head) -> bool:
    """Whether the backbone is a run that has tuned settings of this head, which :func:`load_head` will read.

    Like :meth:`RunBackbone.trained_file`, it follows runs that trained nothing to the run that they scored. Raises
    FolderError if one of them had such a file, and it is missing or another one now.
    """
    folder = Path(getattr(backbone.options, "path", "")) if backbone.name == RunBackbone.name else None
    while folder is not None and (folder / RECIPE).is_file():
        document = read_document(folder / RECIPE).data
        if _section(document, "head").get("use") != head.name:
            return False
        if (folder / RECORD).is_file():  # settings that are gone are no reason to look for others
            check_own_files(folder, read_run(folder).record.files, (HEAD_TUNED,))
        if (folder / HEAD_TUNED).is_file():
            return True
        scored = _section(document, "backbone") if document.get("train") is None else {}
        folder = Path(str(scored.get("path"))) if scored.get("use") == RunBackbone.name else None
    return False


def _section(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = document.get(key)
    return section if isinstance(section, dict) else {}


def _load_modules(head: Head, file: Path) -> None:
    modules = head.modules()
    assert modules is not None
    tensors, metadata = read_tensors(file)
    try:
        trained_for = json.loads(metadata.get(FITS, "{}"))
        if not isinstance(trained_for, dict):
            raise ValueError(f"{FITS} is {trained_for!r}, expected an object")
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{file} cannot be read: {error}", hint=RESTORE) from error
    expected = json.loads(json.dumps(head.fits()))
    if trained_for != expected:
        raise BackboneError(
            f"the head in {file} was trained for {_in_words(trained_for)}, and this task has {_in_words(expected)}",
            hint="to train a new head on what the run learned, use gpttasks export RUN --merged DIR as the backbone",
        )
    if problem := misfit(tensors, modules.state_dict()):
        raise BackboneError(f"the head in {file} does not fit this backbone: {problem}")
    modules.load_state_dict(tensors)


def _in_words(fits: dict[str, object]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in fits.items()) or "nothing in particular"
