"""A new model from a config, with a BPE tokenizer trained on the training texts: the start of pretraining."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..component import Options
from ..errors import BackboneError, did_you_mean, one_line
from ..model.loaded import fuse_activations
from ..tokens.tokenizer import TextTokenizer
from .base import LoadSettings
from .local import LocalBackbone

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


class ScratchOptions(Options):
    """The shape of the model and the size of its vocabulary."""

    model_type: str = Field("gpt2", description="the type of a causal language model in transformers, such as gpt2")
    config: dict[str, Any] = Field(
        default_factory=dict, description="the fields of the config of that type, as transformers names them"
    )
    vocabulary: int = Field(
        4096, ge=300, le=1_000_000, description="the vocabulary size of the byte-level BPE tokenizer"
    )
    context: int = Field(512, ge=8, le=1_000_000, description="the maximum number of tokens in a row")


class Scratch(LocalBackbone):
    """A randomly initialised model; its tokenizer is trained on the training texts."""

    name = "scratch"
    Options = ScratchOptions
    sample_options: ClassVar[dict[str, Any]] = {
        "vocabulary": 300,
        "context": 128,
        "config": {"n_layer": 2, "n_embd": 32, "n_head": 4},
    }

    def check_source(self) -> None:
        """Raise BackboneError for a size of the vocabulary in ``config``."""
        if "vocab_size" in self.options.config:
            raise BackboneError("config.vocab_size follows from the tokenizer", hint="set vocabulary instead")

    def load(self, settings: LoadSettings) -> None:
        """Train the tokenizer and make the model. Raises BackboneError for an unknown type or config field."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        options: ScratchOptions = self.options
        tokenizer = TextTokenizer(train_bpe(settings.texts(), options.vocabulary, options.context))
        size = len(tokenizer.inner)
        end = tokenizer.end
        self.check_source()
        try:
            known = AutoConfig.for_model(options.model_type)
            unknown = sorted(name for name in options.config if not hasattr(known, name))
            positions = {"n_positions" if hasattr(known, "n_positions") else "max_position_embeddings": options.context}
            fields = {"vocab_size": size, "bos_token_id": end, "eos_token_id": end, "pad_token_id": None}
            if not unknown:
                config = AutoConfig.for_model(options.model_type, **(fields | positions | options.config))
                torch.manual_seed(settings.seed)
                model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        except Exception as error:  # transformers raises errors of many types for an unusable config
            raise BackboneError(f"a model of type {options.model_type!r} cannot be made: {one_line(error)}") from error
        if unknown:
            hint = did_you_mean(unknown[0], known.to_dict())
            raise BackboneError(f"the config of {options.model_type} has no field {unknown[0]!r}", hint=hint)
        fuse_activations(model)
        self.take(model.eval().to(settings.device), tokenizer, options.context)


def train_bpe(texts: Iterable[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that begins each row with end-of-text.

    Each digit is a separate token, and a token never spans words. Raises BackboneError if there are no texts.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() <= len(pre_tokenizers.ByteLevel.alphabet()) + 1:
        raise BackboneError(
            "there is no text to train a tokenizer on", hint="the backbone scratch needs training examples"
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
