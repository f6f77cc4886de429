"""A small model of the same class as another, with random weights and a config that keeps what matters to a test.

The behaviour of a model may change at a certain length (a sliding window, chunks, the context before it was extended)
or for large values (caps). The small model has lengths of a few tokens and large weights, so a test of a few
milliseconds covers all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

VOCABULARY, CONTEXT = 64, 64
"""The number of token ids of a small model, and the longest text in its tests."""
SHORT_LENGTH = 8
"""The length, in tokens, of windows, chunks and the like in a small model."""
ROPE_CHANGE = 32
"""The longest text, in tokens, for which the rotary embedding of a small LongRoPE model uses its short factors."""
SPREAD = 0.3
"""The standard deviation of the weights. It gives a model this small sharp attention and large logits."""
MOST_PARAMETERS = 15_000_000
"""The maximum number of parameters of a small model; a larger one has size fields that are not listed here."""

HEADS, HEAD_WIDTH = 4, 8
SHARED_LAYERS = 2
"""The number of layers that reuse the keys and values of others, in a model with such layers (Gemma 3n)."""
SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size"), HEADS * HEAD_WIDTH),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), HEADS),
    **dict.fromkeys(("head_dim", "global_head_dim", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim"), HEAD_WIDTH),
    "qk_head_dim": 2 * HEAD_WIDTH,
    "mamba_n_heads": 2 * HEADS,
    "lru_width": HEADS * HEAD_WIDTH,
    **dict.fromkeys(("attention_head_dim", "index_head_dim", "rotary_dim", "mamba_d_head"), HEAD_WIDTH),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "dt_rank", "mamba_dt_rank", "state_size"), 16),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "n_shared_experts", "num_dense_layers"), 1),
    **dict.fromkeys(("hidden_size_per_layer_input", "hc_mult", "index_n_heads"), 4),
    "num_kv_shared_layers": SHARED_LAYERS,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"), 2 * CONTEXT),
}
"""The largest value of each field of a config in a small model."""
KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads", "num_global_key_value_heads", "n_head_kv")
INNER = ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "dff", "ffn_hidden_size")
"""The ends of the names of fields for the width of a layer's inner states."""
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
LENGTHS = (
    "sliding_window",
    "sliding_window_size",
    "window_size",
    "attention_window_size",
    "local_attention",
    "attention_chunk_size",
    "original_max_position_embeddings",
    "floor_scale",
    "index_topk",
    "chunk_size",
    "mamba_chunk_size",
)
"""The fields for lengths, in tokens, at which the behaviour of a model changes."""


def small_model(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """A small model of the same class, in fp32 and eval mode on ``device``; it uses the same attention function.

    Raises an error of any type if the class cannot make one.
    """
    import torch

    config = small_config(model.config)
    attention = model.config._attn_implementation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.device("meta"):
            _check_size(type(model)._from_config(copy.deepcopy(config), dtype=torch.float32))
        small: PreTrainedModel = type(model)._from_config(config, dtype=torch.float32, attn_implementation=attention)
        for parameter in small.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=SPREAD)
    return small.eval().to(device)


def _check_size(model: PreTrainedModel) -> None:
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"it would have {size:,} parameters")


def small_config(config: Any) -> Any:
    """The config of the small model."""
    fields = _small_fields(config.to_dict())
    for name in ("quantization_config", "auto_map", "_name_or_path", "dtype", "transformers_version", "architectures"):
        fields.pop(name, None)
    return type(config).from_dict(fields)


def _small_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    layers = next((fields[name] for name in LAYERS if isinstance(fields.get(name), int)), None)
    kept = _layers_kept(fields, layers)
    small = {name: _small_value(name, value, fields, layers, kept) for name, value in fields.items()}
    if small.get("head_dim", 0) is None:
        small["head_dim"] = HEAD_WIDTH
    if isinstance(rope := small.get("rope_parameters"), dict):
        small["rope_parameters"] = _small_rope(rope, _rotary_width(small))
    if any("longrope" in str(small.get(name)) for name in ("rope_parameters", "rope_scaling")):
        small["original_max_position_embeddings"] = ROPE_CHANGE
    return small


def _layers_kept(fields: Mapping[str, Any], layers: int | None) -> int:
    """The number of layers, from the first on, with at least one layer of every type."""
    own = 2
    for name, value in fields.items():
        if isinstance(value, list) and len(value) == layers:  # a type of attention or of MLP for each layer
            own = max([own, *(value.index(kind) + 1 for kind in set(map(str, value)) if kind in value)])
        elif isinstance(value, list) and name.endswith("_types") and all(isinstance(kind, str) for kind in value):
            own = max(own, len(value))  # a pattern of types that is repeated
        elif name.endswith("layer_offset") and isinstance(value, int):  # the first layer of a type
            own = max(own, value + 1)
    return min(layers or 2, own + (SHARED_LAYERS if fields.get("num_kv_shared_layers") else 0))


def _small_value(name: str, value: Any, fields: Mapping[str, Any], layers: int | None, kept: int) -> Any:
    if name in LAYERS:
        return kept
    if name == "per_layer_config" and isinstance(value, dict):
        return {layer: _small_fields(own) for layer, own in value.items() if int(layer) < kept}
    if isinstance(value, dict) and name.endswith("_config"):
        return _small_fields(value)
    if name == "attention_types":  # GPT-Neo
        return [[value[0][0], max(1, kept // len(value[0][0]))]]
    if isinstance(value, list) and len(value) == layers and layers > kept:
        return value[:kept]
    if isinstance(value, int) and (name.endswith("_token_id") or name.startswith("pad_")):
        return min(value, VOCABULARY - 1)
    if name in KEY_VALUE_HEADS and value is None:
        return HEADS
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if name in KEY_VALUE_HEADS:
        heads = next((fields[one] for one in ("num_attention_heads", "n_head", "n_heads") if one in fields), value)
        return HEADS if value == heads else 1 if value == 1 else HEADS // 2
    if name.endswith(INNER):
        return min(value, 2 * HEADS * HEAD_WIDTH)
    if name in LENGTHS:
        return min(value, SHORT_LENGTH)
    return min(value, SIZES.get(name, value))


def _rotary_width(small: Mapping[str, Any]) -> int:
    return int(small.get("qk_rope_head_dim") or small.get("head_dim") or HEAD_WIDTH)


def _small_rope(rope: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The parameters of a rotary embedding, or of one for each type of layer."""
    if any(isinstance(value, dict) for value in rope.values()):
        return {layer: _small_rope(value, width) if isinstance(value, dict) else value for layer, value in rope.items()}
    small = dict(rope)
    pairs = int(width * rope.get("partial_rotary_factor", 1.0)) // 2
    for name in ("short_factor", "long_factor"):
        if isinstance(factors := rope.get(name), list):
            small[name] = [factors[place * len(factors) // pairs] for place in range(pairs)]
    if "original_max_position_embeddings" in rope:
        long = rope.get("rope_type") == "longrope"
        small["original_max_position_embeddings"] = ROPE_CHANGE if long else SHORT_LENGTH
    if isinstance(sections := rope.get("mrope_section"), list):
        share = pairs // len(sections)
        small["mrope_section"] = [pairs - share * (len(sections) - 1)] + [share] * (len(sections) - 1)
    return small
