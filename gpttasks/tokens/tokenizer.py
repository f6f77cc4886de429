"""The contract of tokenizers, and Hugging Face tokenizers that fulfil it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import BackboneError, DataError, one_line
from ..example import Spans
from ..hashing import text_digest
from .spelt_tokens import SpeltTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..example import Media
    from ..model.media import MediaNodes


CACHED_LENGTH = 10_000
"""The length in characters up to which the ids of a text are cached: a prompt is joined with each of its options."""


VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "merges.txt")
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""The files in a model folder that belong to its tokenizer."""


class Tokenizer(Protocol):
    """The methods that make rows of token ids."""

    starts_with: tuple[int, ...]
    """The ids that begin every row: the BOS token if the tokenizer adds it by default, else none."""
    fallback_start: int | None
    """The id that comes before a continuation without any context: BOS or end-of-text; None without both."""

    end: int | None
    """The id of the end token; None without one."""

    def encode(self, text: str, special: Spans = ()) -> list[int]:
        """The ids of ``text`` alone, without special tokens in front of it or after it.

        special:
            the spans of the text in which the text of a special token becomes that token; elsewhere it is plain text.
            A tokenizer without special tokens ignores it.
        """
        ...

    def media_ids(self, media: Media) -> list[int]:
        """The negative ids that represent audio or an image. Raises DataError if no encoder can read it."""
        ...

    def token_ends(self, text: str, special: Spans = ()) -> list[int]:
        """The ends of the tokens of ``text``, in characters from its start, ascending and without repetition."""
        ...

    def offsets(self, text: str, special: Spans = ()) -> list[tuple[int, int]]:
        """The place of each token of ``encode(text, special)``: (first character, character after the last).

        Raises BackboneError for a tokenizer without offsets.
        """
        ...

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each id alone, to show where tokens begin and end."""
        ...

    def __hash__(self) -> int:
        """Rows are cached by tokenizer, which must therefore be hashable; its identity is enough."""
        ...


class TextTokenizer:
    """A Hugging Face tokenizer.

    A row begins with BOS exactly if the tokenizer puts it there on its own accord: adding one that the model was not
    trained with, or leaving one out, moves scores by tens of points.

    folder:
        where its files are; None for a tokenizer that was made in memory.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.inner: Any = tokenizer
        self.folder: Path | None = None
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        with_special = list(tokenizer("a")["input_ids"])
        self.starts_with: tuple[int, ...] = (bos,) if bos is not None and with_special[:1] == [bos] else ()
        self.end: int | None = eos
        self.fallback_start: int | None = bos if bos is not None else eos
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        # The id of each special token by its text; decoding leaves these tokens out.
        self.special_ids: Mapping[str, int] = {token.content: index for index, token in added.items() if token.special}
        self._spelt = SpeltTokens(tokenizer, self.special_ids)
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:  # a tokenizer.json may switch these on; rows are cut, and counted, elsewhere
            self._backend.no_truncation()
            self._backend.no_padding()
            self._backend.encode_special_tokens = False  # SpeltTokens decides this for each text
        self.encode_cached = lru_cache(maxsize=4096)(self._encode)
        self.media: MediaNodes | None = None

    def _encode(self, text: str, special: Spans = ()) -> tuple[int, ...]:
        try:
            if self._spelt.unmeant(text, special):
                return tuple(self._spelt.encode(text, special))
            if self._backend is not None:
                # The same ids as calling the tokenizer, in a third of the time: offsets are not computed.
                return tuple(self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids)
            # verbose=False: without the warning about texts longer than the context
            return tuple(self.inner(text, add_special_tokens=False, verbose=False)["input_ids"])
        except (TypeError, UnicodeEncodeError) as error:  # tokenizers raise these for half a surrogate pair
            raise DataError(f"the text is not valid Unicode and cannot be tokenised: {text[:80]!r}") from error

    def encode(self, text: str, special: Spans = ()) -> list[int]:
        """The ids of ``text`` alone; outside the spans ``special``, the text of a special token is plain text."""
        encode = self.encode_cached if len(text) <= CACHED_LENGTH else self._encode
        return list(encode(text, special))

    def unmeant(self, text: str, special: Spans = ()) -> list[str]:
        """The special tokens whose text occurs outside the spans ``special``, where it is plain text."""
        return self._spelt.unmeant(text, special)

    @property
    def bos_text(self) -> str | None:
        """The text of the token that begins rows, or would begin them; None if it has no text."""
        bos = self.starts_with[0] if self.starts_with else self.fallback_start
        return next((text for text, id in self.special_ids.items() if id == bos), None)

    def media_ids(self, media: Media) -> list[int]:
        """The negative ids that represent audio or an image. Raises DataError if no encoder can read it."""
        if self.media is None:
            raise DataError(
                f"the prompt has {media.type}, but the recipe names no encoder for it", hint="write encoder: NAME"
            )
        return self.media.ids(media)

    def offsets(self, text: str, special: Spans = ()) -> list[tuple[int, int]]:
        """The place of each token that :meth:`encode` gives, as (first character, character after the last).

        Raises BackboneError for a tokenizer without offsets.
        """
        if self._backend is None:
            raise BackboneError(
                "this tokenizer does not give the offsets of its tokens in the text",
                hint="save it as a fast tokenizer (tokenizer.json)",
            )
        if self._spelt.unmeant(text, special):
            return self._spelt.offsets(text, special)
        return list(self._backend.encode(text, add_special_tokens=False).offsets)

    def token_ends(self, text: str, special: Spans = ()) -> list[int]:
        """The ends of the tokens of ``text``, in characters; for a tokenizer without offsets, every character."""
        if self._backend is None:
            return list(range(1, len(text) + 1))
        return sorted({end for _, end in self.offsets(text, special) if end})

    def decode(self, ids: list[int], *, with_special: bool = False) -> str:
        """The text of ``ids`` exactly as it was written; special tokens are left out unless ``with_special``."""
        # Some configurations ask for spaces before punctuation to be removed, which changes what the model wrote.
        return str(self.inner.decode(ids, skip_special_tokens=not with_special, clean_up_tokenization_spaces=False))

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each id on its own, to show where tokens begin and end."""
        return [str(self.inner.decode([token], clean_up_tokenization_spaces=False)) for token in ids]

    @property
    def byte_length(self) -> Callable[[int], int] | None:
        """The number of bytes of a token of a byte-level vocabulary, which may be part of a character; else None."""
        decoder = getattr(self._backend, "decoder", None)
        if decoder is None or "ByteLevel" not in type(decoder).__name__:
            return None
        return lambda id: len(self.inner.convert_ids_to_tokens(id))  # one letter stands for each byte

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files; those of the folder that it was loaded from are copied unchanged.

        Saved by transformers 5, some of them name a class that transformers 4 and the tools on it do not have.
        """
        if self.folder is not None:
            for name in TOKENIZER_FILES:
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, folder / name)
            return
        self.inner.save_pretrained(folder)
        file = folder / "tokenizer_config.json"
        config = json.loads(file.read_text("utf-8"))
        if config.get("tokenizer_class") == "TokenizersBackend":
            config["tokenizer_class"] = "PreTrainedTokenizerFast"
            file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")

    @property
    def digest(self) -> str:
        """The SHA-256 of the vocabulary, merges and rules, and of the ids that begin rows and end texts."""
        backend = getattr(self.inner, "backend_tokenizer", None)
        if backend is not None:
            content = backend.to_str()
        else:
            content = repr(sorted(self.inner.get_vocab().items())) + repr(self.inner.special_tokens_map)
        content += repr((self.starts_with, self.fallback_start, self.end))
        return text_digest(content)


def load_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer in a model folder. Raises BackboneError if there is none or it cannot be read."""
    from transformers import AutoTokenizer

    if not any((folder / name).exists() for name in VOCABULARY_FILES):
        raise BackboneError(
            f"{folder} has no tokenizer: none of {', '.join(VOCABULARY_FILES)} is there",
            hint="copy the tokenizer's files into the folder, or save it there with tokenizer.save_pretrained(folder)",
        )
    try:
        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # transformers and tokenizers raise whatever the damaged part made them raise
        raise BackboneError(f"the tokenizer in {folder} cannot be loaded: {one_line(error)}") from error
    tokenizer.folder = folder
    return tokenizer
