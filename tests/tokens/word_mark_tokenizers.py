"""Small tokenizers in the style of SentencePiece: a mark replaces the space before a word and begins a text."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from gpttasks.tokens.tokenizer import TextTokenizer

TEXTS = ["the answer is a girl. the colour: red or green? a bad film, the good film\n", "zoo ice dad yes no"] * 9
SPECIAL = ["<unk>", "<s>", "</s>"]


def with_ends(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer with its special tokens; a row begins with ``<s>``."""
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def unigram() -> PreTrainedTokenizerFast:
    """A unigram model after a Metaspace, as in T5 and Gemma."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return with_ends(tokenizer)


def metaspace_bpe() -> PreTrainedTokenizerFast:
    """A BPE model after a Metaspace that marks the beginning of the text, as in new conversions of Llama."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return with_ends(tokenizer)


def normalised_bpe() -> PreTrainedTokenizerFast:
    """A BPE model with a normaliser that writes the marks, as in Llama 2."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return with_ends(tokenizer)


KINDS = {"unigram": unigram, "metaspace-bpe": metaspace_bpe, "normalised-bpe": normalised_bpe}
WORD_MARKS = {name: TextTokenizer(make()) for name, make in KINDS.items()}
