"""A small model that replaces a large one in the tests of what the large one can do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import one_line
from .capabilities import inspected
from .causal_lm import CausalLM
from .rope import rope_change
from .small import CONTEXT, LENGTHS, small_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class StandIn(CausalLM):
    """The small model that :func:`gpttasks.model.small.small_model` makes; it has no tokenizer."""

    def __init__(self, model: PreTrainedModel, lm: CausalLM) -> None:
        self.model = model
        self.context = CONTEXT
        supports = inspected(model, None)
        change = rope_change(model, self.context)
        self.supports = replace(supports, direct_head=lm.supports.direct_head, rope_changes_at=change)


def stand_in_for(lm: CausalLM) -> StandIn | str:
    """A small model of the same class, or the reason why there is none."""
    import torch

    model = lm.causal_lm
    try:
        small = small_model(model, lm.device)
        with torch.no_grad():
            logits = small(
                input_ids=torch.zeros(1, CONTEXT, dtype=torch.long, device=lm.device), use_cache=False
            ).logits
    except Exception as error:  # models raise errors of many types for sizes that do not fit each other
        return f"no small model of type {model.config.model_type!r} can be made: {one_line(error)}"
    if not bool(torch.isfinite(logits).all()):
        return f"a small model of type {model.config.model_type!r} gives logits that are not finite"
    return StandIn(small, lm)


def lengths_of_change(config: Any) -> list[int]:
    """The lengths, in tokens, at which the behaviour of a model with this config changes, in ascending order."""
    text = config.get_text_config()
    found = {getattr(text, name, None) for name in LENGTHS}
    rope = getattr(text, "rope_parameters", None) or {}
    for parameters in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        found.add(parameters.get("original_max_position_embeddings"))
    return sorted(length for length in found if isinstance(length, int) and length > 0)
