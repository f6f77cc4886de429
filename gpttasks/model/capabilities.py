"""What a loaded model can do: one record, which the fast paths consult and ``run.json`` keeps."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
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
    """A capability that the model has if ``reason`` is None, and lacks for that reason otherwise."""
    return YES if reason is None else Capability(False, reason)


NOT_TESTED = unless("it was not tested")


@dataclass(frozen=True)
class Capabilities:
    """What a model can do. Some of it follows from the config and the forward method. The rest is tested on small rows
    when the model is loaded (:mod:`gpttasks.model.self_tests`), and is off until then.

    cache:
        returns the keys and values of processed tokens, with which new ones are processed as in the whole text;
        ``cache_name`` is the parameter of ``forward`` for them, None if they are not used.
    positions:
        accepts the position of each token.
    embeddings:
        accepts embeddings instead of token ids, as audio and images need.
    masks:
        accepts 4-D attention masks, which say for each token which others it sees.
    sliding_window:
        the number of tokens that a token sees in a layer with a sliding window, itself included; None if no layer has
        one.
    rope_changes_at:
        the longest text, in tokens, for which the rotary embedding uses its short factors; longer texts have others
        (:mod:`gpttasks.model.rope`). Only texts up to this length are shared, packed or written together; longer ones
        never share a forward pass with them. None if all texts have the same factors.
    direct_head:
        the LM head, applied to the last hidden states, gives the logits.
    batches:
        processes rows of different lengths, padded on the right, as if each were alone.
    packing:
        processes several texts in one row.
    sharing:
        processes once what several prompts have in common.
    ragged:
        processes rows of different lengths one after another without padding.
    left_padding:
        continues several prompts together, padded on the left.
    logprobs:
        gives the log-probabilities of the tokens of a text.
    chat_template:
        the tokenizer has a chat template.
    layers:
        the number of layers whose hidden states can be read; None if the config does not say.
    quantisation:
        the quantisation method of the weights; None if they are not quantised.
    """

    cache: Capability
    positions: Capability
    embeddings: Capability
    chat_template: Capability
    cache_name: str | None = None
    sliding_window: int | None = None
    rope_changes_at: int | None = None
    layers: int | None = None
    quantisation: str | None = None
    logprobs: Capability = YES
    direct_head: Capability = NOT_TESTED
    masks: Capability = NOT_TESTED
    batches: Capability = NOT_TESTED
    packing: Capability = NOT_TESTED
    sharing: Capability = NOT_TESTED
    ragged: Capability = NOT_TESTED
    left_padding: Capability = NOT_TESTED

    def with_result(self, name: str, found: Capability) -> Capabilities:
        """The record with the result of the test of one capability."""
        changes: dict[str, Any] = {name: found}
        if name == "cache" and not found:
            changes["cache_name"] = None
        return replace(self, **changes)

    def as_record(self) -> dict[str, object]:
        """The record in JSON values, as in ``run.json``: ``NAME`` is a boolean, ``NAME_reason`` why it is false."""
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
    "batches": "batches_rows",
    "packing": "packs_texts",
    "sharing": "shares_prompts",
    "ragged": "reads_ragged",
    "left_padding": "writes_together",
    "logprobs": "gives_logprobs",
    "chat_template": "has_chat_template",
}
"""The names of the capabilities in ``run.json``."""


def inspected(model: Any, tokenizer: Any) -> Capabilities:
    """The capabilities that follow from a Hugging Face model's config, its forward method and its tokenizer."""
    config, parameters = model.config, inspect.signature(model.base_model.forward).parameters
    text = config.get_text_config()  # for a model that also reads images, a part of the config
    cache_name = next((name for name in ("cache", "past_key_values") if name in parameters), None)
    layers = getattr(text, "num_hidden_layers", None)
    embeddings = "inputs_embeds" in parameters
    return Capabilities(
        cache=unless("it does not return keys and values" if cache_name is None else None),
        positions=unless(None if "position_ids" in parameters else "it does not accept positions"),
        embeddings=unless(None if embeddings else f"a model of type {config.model_type!r} does not accept embeddings"),
        chat_template=unless(None if getattr(tokenizer, "chat_template", None) else "its tokenizer has no template"),
        cache_name=cache_name,
        sliding_window=_sliding_window(text),
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
