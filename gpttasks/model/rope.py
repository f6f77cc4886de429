"""Rotary embeddings whose factors depend on the length of the text: LongRoPE, as in Phi-3, Phi-3.5 and Phi-4-mini.

transformers chooses the short or the long factors by the largest position in a forward pass, for all rows of the pass.
Short and long rows must therefore never be processed together. Dynamic NTK scaling needs no such rule: it changes its
factors beyond ``max_position_embeddings``, and no row is longer than that.
"""

from __future__ import annotations

from typing import Any


def rope_change(model: Any, context: int) -> int | None:
    """The longest text, in tokens, with the short factors; None if texts of up to ``context`` tokens all have them."""
    lengths = [length for module in model.modules() for length in _changes(module) if length < context]
    return min(lengths, default=None)


def _changes(module: Any) -> list[int]:
    kinds = getattr(module, "rope_type", None)
    parameters = getattr(getattr(module, "config", None), "rope_parameters", None)
    if not kinds or not parameters:
        return []
    if not isinstance(kinds, dict):  # else each type of layer has its own rotary embedding
        kinds, parameters = {"all": kinds}, {"all": parameters}
    return [
        int(parameters[layer]["original_max_position_embeddings"])
        for layer, kind in kinds.items()
        if kind == "longrope"
    ]
