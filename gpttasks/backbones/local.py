"""A backbone whose model is in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..model.causal_lm import CausalLM
from ..requests import REQUEST_CLASSES, Reply, Request
from .base import Backbone

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn
    from transformers import PreTrainedModel

    from ..engine.plain import LocalEngine
    from ..tokens.tokenizer import TextTokenizer


class LocalBackbone(CausalLM, Backbone):
    """A model in memory as a component. A subclass implements ``load``, which gets a model and a tokenizer and passes
    them to :meth:`take`.
    """

    tokenizer: TextTokenizer
    answers = REQUEST_CLASSES
    trainable = True
    takes_media = True

    def __init__(self, options: BaseModel | None = None) -> None:
        Backbone.__init__(self, options)  # load() initialises the CausalLM

    @property
    def lm(self) -> CausalLM:
        """The model in memory."""
        return self

    def take(self, model: PreTrainedModel, tokenizer: TextTokenizer, context: int | None) -> None:
        """Use a loaded model and tokenizer, and test what the model can do. Without ``context``, its limit counts.

        Raises BackboneError if the model is not causal.
        """
        from ..model.self_tests import self_test

        CausalLM.__init__(self, model, tokenizer, context)
        self_test(self)

    def engine(
        self, modules: nn.ModuleDict | None = None, *, tokens_per_batch: int | None = None, sharing: bool = True
    ) -> LocalEngine:
        """See :meth:`Backbone.engine`."""
        from ..engine.shared import engine_for

        return engine_for(self, modules, tokens_per_batch, sharing)

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """The replies of a new engine without a head's modules; to answer several times, keep an :meth:`engine`."""
        return self.engine().answer(requests, advance)

    def capabilities(self) -> dict[str, object]:
        """The type and size of the model, and what it can do, with the reason for anything that it cannot do."""
        from ..model.ragged_attention import NAME, STOCK

        config = self.causal_lm.config
        attention = getattr(config, "_attn_implementation", None)
        return {
            "model_type": config.model_type,
            "parameters": self.parameters,
            "context": self.context,
            "begins_with_bos": bool(self.tokenizer.starts_with),
            **self.supports.as_record(),
            # The classes in the folder's own code, which is never run.
            "own_code": sorted(getattr(config, "auto_map", None) or ()),
            "attention": STOCK if attention == NAME else attention,
        }
