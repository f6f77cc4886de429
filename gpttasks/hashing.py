"""Digests of values and files, and seeded hashes: what every limit, hold-out, draw and shuffle sorts by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def bytes_digest(data: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def text_digest(text: str) -> str:
    """The SHA-256 of a text as UTF-8, in hex; half of a surrogate pair counts as a character."""
    return bytes_digest(text.encode("utf-8", "surrogatepass"))


def file_digest(file: Path) -> str:
    """The SHA-256 of a file's content, in hex, read a part at a time. Raises OSError."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while part := opened.read(PART):
            digest.update(part)
    return digest.hexdigest()


def files_digest(folder: Path) -> str:
    """The SHA-256, in hex, of the names and contents of a folder's files; read-me files are left out."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".md")
    # Each content as content_digest() writes bytes.
    return content_digest([[file.relative_to(folder).as_posix(), {"sha256": file_digest(file)}] for file in files])


PART = 2**20
"""Bytes of a file that are read at a time."""

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def content_digest(value: Any) -> str:
    """The SHA-256, in hex, of a value of JSON types and bytes, the same whatever the order of its mappings."""
    return text_digest(_CANONICAL.encode(_plain(value)))


def _plain(item: Any) -> Any:
    """A value in JSON types; bytes by their digest, anything else (dates, decimals) by its text."""
    if item is None or isinstance(item, (str, int, float)):
        return item
    if isinstance(item, Mapping):
        return {str(key): _plain(inner) for key, inner in item.items()}
    if isinstance(item, (list, tuple)):
        return [_plain(inner) for inner in item]
    return {"sha256": bytes_digest(item)} if isinstance(item, bytes) else str(item)


def seeded_hash(seed: int, *names: str) -> int:
    """A 64-bit number from (seed, names): what every limit, hold-out, draw and shuffle sorts by."""
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
