"""Small tokenizers whose tokens are bytes: byte-level BPE, byte fallback, and one written in Python."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from gpttasks.backbones.scratch import train_bpe
from gpttasks.tokens.tokenizer import TextTokenizer

LETTER = bytes_to_unicode()
BYTE = {letter: byte for byte, letter in LETTER.items()}


def film_bpe() -> PreTrainedTokenizerFast:
    """Byte-level BPE that was trained on one line about films, and writes its words with one token each."""
    return train_bpe(["the good film, a bad film; good films are positive\n"] * 9, 300, 64)


def byte_level() -> TextTokenizer:
    """Byte-level BPE whose merges join bytes of neighbouring characters, as those of large vocabularies do."""
    chinese, accents = "中文".encode(), "éü".encode()
    merges = [(chinese[2:3], chinese[3:4]), (chinese[:1], chinese[1:2]), (accents[1:2], accents[2:3]), (b" ", b"x")]
    pairs = [("".join(LETTER[one] for one in first), "".join(LETTER[one] for one in last)) for first, last in merges]
    vocabulary = {letter: place for place, letter in enumerate([*BYTE, *(first + last for first, last in pairs)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"))


def byte_fallback() -> TextTokenizer:
    """SentencePiece's BPE with byte fallback: a character that is not in the vocabulary is one token for each byte."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "x", "中", "文", "中文", "▁x"]
    merges = [("中", "文"), ("▁", "x")]
    model = models.BPE({piece: id for id, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    tokenizer.add_special_tokens(["</s>"])
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>"))


BYTE_TOKENIZERS = {
    "byte-level": byte_level(),
    "byte-fallback": byte_fallback(),
    "one token a byte": TextTokenizer(ByT5Tokenizer(extra_ids=0)),
}


def bytes_of(kind: str, ids: list[int]) -> bytes:
    """The bytes that tokens write, from the vocabulary alone."""
    pieces = BYTE_TOKENIZERS[kind].inner.convert_ids_to_tokens(ids)
    if kind == "byte-level":
        return bytes(BYTE[letter] for piece in pieces for letter in piece)
    if kind == "byte-fallback":
        written = [bytes([int(one[3:5], 16)]) if one.startswith("<0x") else one.encode() for one in pieces]
        return b"".join(written).replace("▁".encode(), b" ")
    return b"".join(piece.encode("latin-1") for piece in pieces)
