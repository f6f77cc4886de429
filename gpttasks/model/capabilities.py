"""What a loaded model can do: one record, which the fast paths ask and ``run.json`` keeps."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Capability:
    """Whether a model can do something, and the reason if it cannot."""

    able: bool
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.able


YES = Capability(True)


def unless(reason: str | None) -> Capability:
    """A yes, unless there is a reason for a no."""
    return YES if reason is None else Capability(False, reason)


NOT_TRIED = unless("it was not tried")


@dataclass(frozen=True)
class Capabilities:
    """What a model can do. Some of it is read off its config and its forward method, the rest is tried on small rows
    when the model is loaded (:mod:`gpttasks.model.self_tests`); until then it is a no.

    cache:
        keeps the keys and values of what it has read; ``cache_name`` is their name in its forward method.
    positions:
        takes the position of each token.
    embeddings:
        takes embeddings instead of token ids, as audio and images need.
    masks:
        takes 4-D attention masks, which say for each token which others it sees.
    sliding_window:
        how many tokens a layer with a sliding window sees, itself included; None if no layer has one.
    direct_head:
        its LM head, applied to its last hidden states, gives its logits.
    packing:
        reads several texts in one row.
    sharing:
        reads once what several prompts have in common.
    ragged:
        reads rows of different lengths one after another without padding.
    left_padding:
        continues several prompts together, padded on the left.
    logprobs:
        gives the log-probabilities of the tokens of a given text.
    chat_template:
        its tokenizer has a chat template.
    layers:
        the number of layers whose hidden states can be read; None if its config does not say.
    quantisation:
        the method by which its weights are quantised; None if they are not.
    """

    cache: Capability
    positions: Capability
    embeddings: Capability
    chat_template: Capability
    cache_name: str | None = None
    sliding_window: int | None = None
    layers: int | None = None
    quantisation: str | None = None
    logprobs: Capability = YES
    direct_head: Capability = NOT_TRIED
    masks: Capability = NOT_TRIED
    packing: Capability = NOT_TRIED
    sharing: Capability = NOT_TRIED
    ragged: Capability = NOT_TRIED
    left_padding: Capability = NOT_TRIED

    def as_record(self) -> dict[str, object]:
        """As ``run.json`` keeps it: under ``NAME`` whether, under ``NAME_reason`` why not; JSON values."""
        record: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Capability):
                name = RECORDED_AS[field.name]
                record |= {name: value.able, f"{name}_reason": value.reason}
            else:
                record[field.name] = value
        return record


RECORDED_AS = {
    "cache": "keeps_keys_and_values",
    "positions": "takes_positions",
    "embeddings": "takes_embeddings",
    "masks": "takes_masks",
    "direct_head": "direct_head",
    "packing": "packs_texts",
    "sharing": "shares_prompts",
    "ragged": "reads_ragged",
    "left_padding": "writes_together",
    "logprobs": "gives_logprobs",
    "chat_template": "has_chat_template",
}
"""The names in ``run.json``."""


def inspected(model: Any, tokenizer: Any) -> Capabilities:
    """What the config and the forward method of a Hugging Face model tell, and its tokenizer."""
    config, parameters = model.config, inspect.signature(model.base_model.forward).parameters
    cache_name = next((name for name in ("cache", "past_key_values") if name in parameters), None)
    layers = getattr(config, "num_hidden_layers", None)
    takes_embeddings = "inputs_embeds" in parameters
    return Capabilities(
        cache=unless("it keeps no keys and values" if cache_name is None else None),
        positions=unless(None if "position_ids" in parameters else "it takes no positions"),
        embeddings=unless(None if takes_embeddings else f"a model of type {config.model_type!r} takes no embeddings"),
        chat_template=unless(None if getattr(tokenizer, "chat_template", None) else "its tokenizer has none"),
        cache_name=cache_name,
        sliding_window=_sliding_window(config),
        layers=None if layers is None else int(layers),
        quantisation=_quantisation(config),
    )


def _sliding_window(config: Any) -> int | None:
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    used = getattr(config, "use_sliding_window", True) if kinds is None else "sliding_attention" in kinds
    return int(window) if window and used else None


def _quantisation(config: Any) -> str | None:
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else getattr(settings, "quant_method", None)
    return str(getattr(method, "value", method))
