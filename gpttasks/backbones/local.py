"""A backbone whose model is in the memory of this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..engine.shared import engine_for
from ..model.causal_lm import CausalLM
from ..model.left_padding import why_not_padded
from ..model.tree_attention import cache_name, sliding_window, why_not_packed, why_not_ragged, why_not_shared
from ..requests import REQUEST_CLASSES, Reply, Request
from .base import Backbone

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn
    from transformers import PreTrainedModel

    from ..engine.plain import LocalEngine
    from ..tokens.tokenizer import TextTokenizer


class LocalBackbone(CausalLM, Backbone):
    """A model in memory as a component. Subclasses differ in where ``load`` gets model and tokenizer from; it ends with
    :meth:`take`.
    """

    tokenizer: TextTokenizer
    answers = REQUEST_CLASSES
    trainable = True
    takes_media = True

    def __init__(self, options: BaseModel | None = None) -> None:
        Backbone.__init__(self, options)  # the model comes with load()

    @property
    def lm(self) -> CausalLM:
        """The model in memory."""
        return self

    def take(self, model: PreTrainedModel, tokenizer: TextTokenizer, context: int | None) -> None:
        """Adopt a loaded model and tokenizer; ``context`` None is the model's own.

        Raises BackboneError if tokens of the model see what comes after them.
        """
        CausalLM.__init__(self, model, tokenizer, context)
        self.unpacked = why_not_packed(self)
        self.unshared = why_not_shared(self)
        self.unragged = why_not_ragged(self)
        self.unpadded = why_not_padded(self)

    def engine(
        self, modules: nn.ModuleDict | None = None, *, tokens_per_batch: int | None = None, sharing: bool = True
    ) -> LocalEngine:
        """See :meth:`Backbone.engine`."""
        return engine_for(self, modules, tokens_per_batch, sharing)

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """The replies of an engine without a head's modules; keep an :meth:`engine` to ask several times."""
        return self.engine().answer(requests, advance)

    def capabilities(self) -> dict[str, object]:
        """What the model is and what it can do, as it was found when it was loaded, with the reason for each no."""
        config = self.causal_lm.config
        parameters = inspect.signature(self.causal_lm.base_model.forward).parameters
        return {
            "model_type": config.model_type,
            "parameters": self.parameters,
            "context": self.context,
            "begins_with_bos": bool(self.tokenizer.starts_with),
            "direct_head": self.direct_head,
            "keeps_keys_and_values": cache_name(self.causal_lm.base_model) is not None,
            "takes_positions": "position_ids" in parameters,
            "takes_embeddings": "inputs_embeds" in parameters,
            "sliding_window": sliding_window(config),
            "packs_texts": self.unpacked is None,
            "packs_texts_reason": self.unpacked,
            "shares_prompts": self.unshared is None,
            "shares_prompts_reason": self.unshared,
            "reads_ragged": self.unragged is None,
            "reads_ragged_reason": self.unragged,
            "writes_together": self.unpadded is None,
            "writes_together_reason": self.unpadded,
            # The classes that the folder's own code would have given; it is never run.
            "own_code": sorted(getattr(config, "auto_map", None) or ()),
            "attention": getattr(config, "_attn_implementation", None),
        }
