"""Puts together the loaded model, the adaptation, the encoder and the head of a run."""

from __future__ import annotations

from collections.abc import Iterator

from ..backbones.base import Backbone, LoadSettings
from ..backbones.run import RunBackbone
from ..backbones.texts import training_texts
from ..encoders.base import Encoder
from ..errors import BackboneError
from ..example import prompt_text
from ..plugins import Plugins
from ..runtime import Precision
from .check_media import check_encoder, check_media
from .parts import RunParts
from .too_long import check_lengths
from .trained_files import load_encoder, load_head
from .window_limit import limit_windows


def load_settings(parts: RunParts, plugins: Plugins, device: str, precision: Precision) -> LoadSettings:
    """The settings for loading the backbone of a run."""

    def texts() -> Iterator[str]:
        if "train" not in parts.sets:  # nothing is trained, but the backbone needs texts
            return training_texts(parts.recipe, plugins)
        return (prompt_text(example.prompt) for example in parts.sets["train"].examples)

    return LoadSettings(
        device,
        precision,
        keep_master=parts.adaptation.trains_weights,
        seed=parts.recipe.seed,
        texts=texts,
        plugins=plugins,
    )


def bind(parts: RunParts) -> None:
    """Adapt the loaded backbone, attach the encoder, and bind the head; all weights are drawn from the recipe's seed.

    Raises UserError for parts that do not fit each other, and DataError for examples that do not fit the context.
    """
    import torch

    backbone, adaptation = parts.backbone, parts.adaptation
    torch.manual_seed(parts.recipe.seed)
    if backbone.lm is not None:
        adaptation.apply(backbone.lm)
    elif adaptation.trains:
        raise BackboneError(f"backbone {backbone.name!r} cannot be trained", hint="use adapt: none, or a local model")
    if parts.encoder is not None:
        _bind_encoder(parts, parts.encoder)
    reads = _reads(backbone)
    if reads:
        check_media(parts, backbone.tokenizer, backbone.context)
    check_encoder(parts)
    _bind_head(parts)
    limit_windows(parts)
    if reads:
        check_lengths(parts)
        if not parts.rows:  # of rows answered some at a time, nobody knows whether all have the same choices
            check_choices(parts)


def check_more_rows(parts: RunParts) -> None:
    """Check other rows than those that the parts were bound with: what ``bind`` checks of examples.

    Raises DataError for examples that cannot be read or do not fit the context.
    """
    backbone = parts.backbone
    if _reads(backbone):
        check_media(parts, backbone.tokenizer, backbone.context)
        check_lengths(parts)


def _reads(backbone: Backbone) -> bool:
    """Whether it says how it reads text, which a backbone that is its own engine does not have to."""
    return all(getattr(backbone, name, None) is not None for name in ("tokenizer", "context"))


def check_choices(parts: RunParts) -> None:
    """Let the head refuse choices that it cannot tell apart, if all examples have the same choices."""
    too_long = parts.too_long.get(parts.scored_role, {})
    fitting = [example for example in parts.scored if example.id not in too_long]
    if len({example.choices for example in fitting}) == 1:  # otherwise equal choices are allowed: ties are counted
        parts.head.check_choices(fitting[0])


def _bind_head(parts: RunParts) -> None:
    """Bind the head; if the backbone is a run that trained it, load that run's weights and settings."""
    backbone, head = parts.backbone, parts.head
    head.backbone = backbone  # also for a head whose own bind() does not keep it
    head.bind(backbone, next(iter(parts.scored)))
    modules = head.modules()
    if isinstance(backbone, RunBackbone) and backbone.recipe.head.name == head.name:
        load_head(head, backbone)
    elif modules is not None and not parts.adaptation.trains:
        raise BackboneError(f"head {head.name!r} has to be trained", hint="choose an adaptation other than none")
    if modules is not None:
        modules.eval()  # until a training step: preparing a run must not change buffers
    if modules is not None and backbone.lm is not None:
        modules.to(backbone.lm.device)


def _bind_encoder(parts: RunParts, encoder: Encoder) -> None:
    """Attach the encoder to the backbone; if the backbone is a run that trained it, load that run's weights.

    Raises BackboneError for a backbone that takes no media, and for an encoder that was not and will not be trained.
    """
    backbone = parts.backbone
    if backbone.lm is None or not backbone.takes_media:
        raise BackboneError(
            f"backbone {backbone.name!r} reads text only", hint="remove encoder from the recipe, or use a local model"
        )
    backbone.lm.use_encoder(encoder)
    if isinstance(backbone, RunBackbone) and (backbone.recipe.encoder is not None or not parts.adaptation.trains):
        load_encoder(encoder, backbone)
    elif not parts.adaptation.trains:
        raise BackboneError(f"encoder {encoder.name!r} has to be trained", hint="choose an adaptation other than none")
