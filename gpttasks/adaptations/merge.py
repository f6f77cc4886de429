"""An adapter merged into the weights of its model, so that the result computes what the adapted model computes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..model.causal_lm import CausalLM


def merge_adapter(backbone: CausalLM) -> bool:
    """Merge the adapter of the run that is the backbone into the weights; returns whether there is one.

    An adapted embedding or LM head is no longer tied to the other afterwards, and the config says so.
    """
    from peft import PeftModel

    if not isinstance(backbone.model, PeftModel):
        return False
    untie_adapted_embeddings(backbone)
    with warnings.catch_warnings():
        # PEFT says that it changes the config for an untied model, which is what is wanted.
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        backbone.model = without_peft(backbone.model.merge_and_unload())
    if not _shares_embeddings(backbone.model):
        _declare_untied(backbone.model)
    return True


def untie_adapted_embeddings(backbone: CausalLM) -> None:
    """Give the LM head weights of its own, if it shares those of the embedding and an adapter changes either.

    The adapter computes its update beside the shared tensor; merged into it, the update would change both layers.
    """
    import torch

    model = backbone.causal_lm
    if adapts_tied_embeddings(model):
        head = model.get_output_embeddings()
        head = getattr(head, "base_layer", head)
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=head.weight.requires_grad)
        _declare_untied(model)


def adapts_tied_embeddings(model: Any) -> bool:
    """Whether embedding and LM head share their weights, and an adapter is on either."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    if None in layers or not any(isinstance(layer, BaseTunerLayer) for layer in layers):
        return False
    embedding, head = (getattr(layer, "base_layer", layer) for layer in layers)
    return embedding.weight is head.weight


def without_peft(model: PreTrainedModel) -> PreTrainedModel:
    """A model without its adapter. PEFT's remaining attribute is removed: it would later look like a second adapter."""
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model


def _shares_embeddings(model: PreTrainedModel) -> bool:
    head: Any = model.get_output_embeddings()
    embedding: Any = model.get_input_embeddings()
    return head is None or embedding.weight is head.weight or embedding.weight.data_ptr() == head.weight.data_ptr()


def _declare_untied(model: PreTrainedModel) -> None:
    """Have the config say that the LM head has weights of its own, or loading the model would tie them again."""
    for config in {id(one): one for one in (model.config, model.config.get_text_config())}.values():
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False
    # transformers keeps the pairs of tied names beside the config, from when the model was made.
    model.all_tied_weights_keys = {}
