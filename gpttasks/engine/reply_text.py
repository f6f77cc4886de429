"""Replies as JSON texts with a checksum, read through the schema of each kind of reply."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ..hashing import bytes_digest
from ..requests import (
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    Readout,
    ReadoutReply,
    Reply,
    Request,
    Rolling,
    RollingReply,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter

REPLY_OF: dict[type, type[Reply]] = {
    LogLikelihood: LogLikelihoodReply,
    Rolling: RollingReply,
    Readout: ReadoutReply,
    Generate: GenerateReply,
}
"""The kind of reply to each kind of request."""


def text_of(reply: Reply) -> str:
    """A reply as JSON. Raises ValueError for numbers that are not finite."""
    return _ENCODER.encode(reply)


def reply_of(text: str | bytes, request: Request) -> Reply:
    """The reply to a request from its JSON text.

    Raises ValueError for any text but one of :func:`text_of` for the kind of reply that the request has.
    """
    kind: Any = REPLY_OF[type(request)]
    reply: Reply = _schema(kind).validate_json(text, strict=True)
    if not _sound(reply):
        raise ValueError(f"a count is negative, or a number is not finite: {reply}")
    return reply


def check_reply(reply: object, request: Request) -> None:
    """Raises ValueError if an engine's reply is not of the request's kind, or cannot be stored."""
    kind = REPLY_OF[type(request)]
    if not isinstance(reply, kind):
        raise ValueError(f"got {reply!r} as the reply to a {type(request).__name__}, expected a {kind.__name__}")
    try:
        reply_of(text_of(reply), request)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the reply {reply!r} has a value of a wrong kind: {' '.join(str(error).split())}") from error


def checksum(key: bytes, text: str | bytes) -> bytes:
    """The checksum of a reply under its key, so that neither a changed nor an exchanged reply is taken for it."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(key + data).digest()[:16]


def plain(value: Any) -> Any:
    """What a JSON encoder does not know: a part of a request or reply as a mapping; bytes of media as their digest.

    Raises TypeError for anything else.
    """
    if isinstance(value, bytes):
        return bytes_digest(value)
    if is_dataclass(value):
        kind: Any = type(value)
        return {name: getattr(value, name) for name in field_names(kind)}
    raise TypeError(f"got {value!r}, expected values of JSON types")


@cache
def field_names(kind: type) -> tuple[str, ...]:
    """The names of a dataclass's fields, in their order."""
    return tuple(field.name for field in fields(kind))


# Made once, as is the list of names: to make them for each reply takes longer than to encode it.
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=plain)


@cache
def _schema(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _sound(value: Any) -> bool:
    """Whether all floats are finite and all counts are 0 or more."""
    if is_dataclass(value):
        return all(_sound(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return all(_sound(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value >= 0
