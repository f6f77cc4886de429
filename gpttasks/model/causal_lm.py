"""A causal language model in memory: rows of token ids in, hidden states and log-probabilities out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import BackboneError
from .capabilities import Capabilities, inspected
from .loaded import check_vocabulary, config_digest, state_digest, usable_context
from .media import MediaNodes
from .rope import rope_change
from .states import Forward, in_one

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ..encoders.base import Encoder
    from ..tokens.tokenizer import TextTokenizer


class CausalLM:
    """A decoder-only model of transformers with its tokenizer.

    model:
        the Hugging Face model; an adaptation may wrap it in a ``peft.PeftModel``.
    context:
        the maximum number of tokens in a row.
    media:
        the audio and images in prompts; None without an encoder.
    supports:
        what the model can do. :func:`gpttasks.model.self_tests.self_test` completes the record.
    parameters:
        the number of parameters when the model was loaded, without those that an adaptation adds.
    adapter_source:
        the run that the model's adapter comes from; None if it comes from no run.
    """

    model: Any
    tokenizer: TextTokenizer
    context: int
    media: MediaNodes | None = None
    supports: Capabilities
    parameters: int
    adapter_source: str | None = None

    def __init__(self, model: PreTrainedModel, tokenizer: TextTokenizer, context: int | None = None) -> None:
        """Without ``context``, the model's limit counts. Raises BackboneError if the model is not causal."""
        self.model = model
        self.tokenizer = tokenizer
        self.context = usable_context(model.config, context)
        check_vocabulary(tokenizer.inner, int(model.get_input_embeddings().weight.shape[0]))
        self._check_causal()
        self.supports = inspected(model, tokenizer.inner)
        self.supports = replace(self.supports, rope_changes_at=rope_change(model, self.context))
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._weights_digest = state_digest(model.state_dict())
        self._config_digest = config_digest(model)

    def use_encoder(self, encoder: Encoder) -> None:
        """Use this encoder for audio or images, with outputs as wide as the model's embeddings.

        Raises BackboneError for a model that does not accept embeddings.
        """
        if not self.supports.embeddings:
            raise BackboneError(str(self.supports.embeddings.reason))
        encoder.bind(int(self.causal_lm.get_input_embeddings().weight.shape[1]))
        encoder.modules().to(self.device).eval()  # until a training step: preparing a run must not change its buffers
        self.media = self.tokenizer.media = MediaNodes(encoder)

    def detach_encoder(self) -> None:
        """Accept only text again, as after loading."""
        self.media = self.tokenizer.media = None

    @property
    def causal_lm(self) -> Any:
        """The Hugging Face model without the PEFT wrapper; its layers stay adapted."""
        from peft import PeftModel

        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = next(self.causal_lm.parameters()).device
        return device

    @property
    def hidden_size(self) -> int:
        """The width of the hidden states."""
        return int(self.causal_lm.get_output_embeddings().weight.shape[1])

    def replace_weights(self, model: PreTrainedModel) -> None:
        """Replace the model by one of the same architecture, and give that one the same attention implementation."""
        model.set_attn_implementation(self.causal_lm.config._attn_implementation)
        self.model = model

    @contextmanager
    def computing_in(self, dtype: torch.dtype) -> Iterator[None]:
        """Compute in a precision below that of the weights, for the length of the block; the weights come back exactly.

        Trained weights are kept in fp32; a model that is loaded has those of the run's precision.
        """
        import torch

        masters = {
            parameter: parameter.data
            for parameter in self.model.parameters()
            if parameter.dtype == torch.float32 != dtype
        }
        try:
            for parameter, master in masters.items():
                parameter.data = master.to(dtype)
            yield
        finally:
            for parameter, master in masters.items():
                parameter.data = master

    def train_mode(self, dropout: bool) -> None:
        """Prepare for a training step. ``dropout`` switches the model's dropout; an adapter's dropout is always on."""
        self.model.train(dropout)
        for name, module in self.model.named_modules():
            if name.endswith("lora_dropout"):
                module.train()

    def inputs(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's arguments for rows of ids [rows, tokens] on the CPU: ids, or embeddings if there are media."""
        if self.media is None or not bool((ids < 0).any()):
            return {"input_ids": ids.to(self.device)}
        embed = self.causal_lm.get_input_embeddings()
        return {"inputs_embeds": self.media.put_in(ids, embed(ids.clamp(min=0).to(self.device)))}

    def forward(self, rows: Sequence[Sequence[int]], layers: Collection[int] = ()) -> Forward:
        """Run rows of token ids, padded on the right, through the model.

        The results are those of each row alone: rows that would change each other are processed one after another.
        ``layers`` are the layers whose states are needed beside those of the last. Raises BackboneError for a layer
        that the model does not have.
        """
        groups: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(self._kind_of_row(index, len(row)), []).append(index)
        parts = [self._forward_padded([rows[index] for index in group], layers) for group in groups.values()]
        return parts[0] if len(parts) == 1 else in_one(parts, list(groups.values()))

    def keeps_rope(self, length: int) -> bool:
        """Whether a text of ``length`` tokens has the factors that its rotary embedding has for short texts."""
        return self.supports.rope_changes_at is None or length <= self.supports.rope_changes_at

    def _kind_of_row(self, index: int, length: int) -> int:
        """A number that is equal for rows that may be processed together."""
        return int(self.keeps_rope(length)) if self.supports.batches else index

    def _forward_padded(self, rows: Sequence[Sequence[int]], layers: Collection[int]) -> Forward:
        import torch

        lengths = [len(row) for row in rows]
        ids = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        inputs = self.inputs(ids)
        ids = ids.to(self.device)
        # No attention mask: attention is causal and padding is on the right, so no real token sees it.
        others = set(layers) - {-1}
        if self.supports.direct_head:
            output = self.causal_lm.base_model(**inputs, use_cache=False, output_hidden_states=bool(others))
            chosen = _chosen_layers(output.hidden_states, others) if others else None
            head = self.causal_lm.get_output_embeddings()
            return Forward(ids, lengths, output.last_hidden_state, head=head, layers=chosen)
        output = self.causal_lm(**inputs, use_cache=False, output_hidden_states=True)
        chosen = _chosen_layers(output.hidden_states, others)
        states = output.hidden_states[-1]
        if states.dim() != 3:  # Gemma 3n carries several versions of the states from layer to layer
            states = self.causal_lm.base_model(**inputs, use_cache=False).last_hidden_state
        return Forward(ids, lengths, states, logits=output.logits, layers=chosen)

    def _some_ids(self) -> torch.Tensor:
        import torch

        size = self.model.get_input_embeddings().weight.shape[0]
        return torch.randint(0, size, (1, 7), generator=torch.Generator().manual_seed(0)).to(self.device)

    def _check_causal(self) -> None:
        """Raise BackboneError for a model such as BERT: it loads as a causal model, but would see what it predicts."""
        import torch

        ids = self._some_ids()
        with torch.no_grad():
            whole = self.model(input_ids=ids, use_cache=False).logits[:, :4].float()
            alone = self.model(input_ids=ids[:, :4], use_cache=False).logits.float()
        # Compare medians: in half precision, a few tokens may go to other experts, but not most of them.
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.1
        if (whole - alone).abs().median() > tolerance * whole.abs().median():
            raise BackboneError(
                f"the model of type {self.model.config.model_type!r} is not causal: its tokens see later ones",
                hint="use a decoder-only model, such as GPT-2, Llama or Qwen",
            )

    def digests(self) -> dict[str, str]:
        """The SHA-256 of the weights as they were loaded, before any training, of the config and of the tokenizer."""
        return {"weights": self._weights_digest, "config": self._config_digest, "tokenizer": self.tokenizer.digest}

    def is_unaltered(self) -> bool:
        """Whether weights and config still have the digests that they had when the model was loaded. Reads all weights.

        False for a model with an adapter, which changes the names of the weights.
        """
        from peft import PeftModel

        if isinstance(self.model, PeftModel):
            return False
        state, config = state_digest(self.model.state_dict()), config_digest(self.model)
        return (state, config) == (self._weights_digest, self._config_digest)


def _chosen_layers(states: Sequence[torch.Tensor], layers: Collection[int]) -> dict[int, torch.Tensor]:
    """The hidden states of some layers. Raises BackboneError for a layer that the model does not have."""
    for layer in layers:
        if not -len(states) <= layer < len(states):
            raise BackboneError(
                f"got a readout of layer {layer}, but the model has the layers 0 (embeddings) to {len(states) - 1}",
                hint="layer -1 is the last one",
            )
    return {layer: states[layer] for layer in layers}
