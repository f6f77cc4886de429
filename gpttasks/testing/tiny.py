"""A tiny random GPT-2, created in memory, for the checks of heads."""

from __future__ import annotations

from functools import lru_cache

from pydantic import Field

from ..backbones.base import LoadSettings
from ..backbones.local import LocalBackbone
from ..backbones.scratch import train_bpe
from ..component import Options
from ..tokens.tokenizer import TextTokenizer
from .samples import HARD_TEXTS, WORDS

CONTEXT, VOCABULARY, HIDDEN = 128, 320, 32


class TinyOptions(Options):
    """The context."""

    context: int = Field(CONTEXT, ge=8, description="the maximum number of tokens of a row")


class Tiny(LocalBackbone):
    """Two layers of width 32, a context of 128, a byte-level tokenizer, and the same random weights every time."""

    name = "tiny"
    Options = TinyOptions

    options: TinyOptions

    def load(self, settings: LoadSettings) -> None:
        """Make the model and train the tokenizer."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        context = self.options.context
        texts = (*HARD_TEXTS.values(), "Which colour is meant? Card 1 shows nothing else.", *WORDS)
        tokenizer = TextTokenizer(train_bpe(texts, VOCABULARY, context))
        end = tokenizer.end
        config = AutoConfig.for_model(
            "gpt2",
            n_embd=HIDDEN,
            n_layer=2,
            n_head=4,
            n_positions=context,
            initializer_range=0.2,  # large: errors in a model this small would hardly be visible otherwise
            vocab_size=len(tokenizer.inner),
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        self.take(model.eval(), tokenizer, context)


def loaded_tiny() -> Tiny:
    """A new backbone, which may be trained."""
    backbone = Tiny()
    backbone.load(LoadSettings())
    return backbone


@lru_cache(maxsize=1)
def tiny_backbone() -> Tiny:
    """The loaded backbone, shared by the whole process: do not train it."""
    return loaded_tiny()
