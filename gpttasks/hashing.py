"""Digests of values and files, and seeded hashes, the sort keys of limits, hold-outs, draws and shuffles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .files import is_unfinished


def bytes_digest(data: bytes) -> str:
    """The SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def text_digest(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hex; a lone surrogate is encoded like any other character."""
    return bytes_digest(text.encode("utf-8", "surrogatepass"))


def file_digest(file: Path) -> str:
    """The SHA-256 of a file's content, in hex, read in chunks. Raises OSError."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def files_digest(folder: Path, digest_of: Callable[[Path], str] = file_digest) -> str:
    """The SHA-256, in hex, of the names and contents of a folder's files; ``digest_of`` returns that of a content.

    Markdown files, and what a killed process left unfinished, are excluded.
    """
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".md" and not is_unfinished(file.relative_to(folder))
    )
    # content_digest() represents bytes in the same form.
    return content_digest([[file.relative_to(folder).as_posix(), {"sha256": digest_of(file)}] for file in files])


CHUNK = 2**20
"""The bytes of a file that are read at a time."""

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def content_digest(value: Any) -> str:
    """The SHA-256, in hex, of a value of JSON types and bytes; the order of keys does not matter."""
    return text_digest(_CANONICAL.encode(_to_json_types(value)))


def _to_json_types(item: Any) -> Any:
    """The value in JSON types: bytes become their digest, other types (dates, decimals) their text."""
    if item is None or isinstance(item, (str, int, float)):
        return item
    if isinstance(item, Mapping):
        return {str(key): _to_json_types(inner) for key, inner in item.items()}
    if isinstance(item, (list, tuple)):
        return [_to_json_types(inner) for inner in item]
    return {"sha256": bytes_digest(item)} if isinstance(item, bytes) else str(item)


def seeded_hash(seed: int, *names: str) -> int:
    """A 64-bit number from (seed, names), the sort key of limits, hold-outs, draws and shuffles."""
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
