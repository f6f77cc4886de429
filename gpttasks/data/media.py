"""Audio and images in a row: bytes, or a file that is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..example import Media

_SIGNATURES = (
    (b"RIFF", "audio/wav"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"FORM", "audio/aiff"),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def media_of(value: object, beside: str | None = None) -> Media:
    """The audio or image that a value of a row is: Media, bytes, a mapping with ``bytes`` or ``path``, or a path.

    beside:
        the file of the row, at whose folder relative paths start; None: at the working directory.

    Raises ValueError for anything else, a file that is not there, empty bytes, and bytes that are of no known format.
    """
    if isinstance(value, Media):
        return value
    name = "its bytes"
    if isinstance(value, Mapping):
        path, value = value.get("path"), value.get("bytes")
        value = path if value is None else value
    if isinstance(value, str):
        file = Path(beside).parent / value if beside else Path(value)
        name = str(file)
        try:
            value = file.read_bytes()
        except OSError as error:
            raise ValueError(f"the file {file} cannot be read: {error.strerror}") from error
    if not isinstance(value, bytes):
        raise ValueError(f"got {type(value).__name__}, wanted bytes, a path, or a mapping with one of them")
    if not value:
        raise ValueError(f"{name}: empty, wanted audio or an image")
    kind = next((kind for begin, kind in _SIGNATURES if value.startswith(begin)), None)
    if kind is None:
        raise ValueError(f"{name}: begins with {value[:8]!r}, neither WAV, FLAC, OGG, MP3, AIFF nor PNG, JPEG, GIF")
    return Media(value, kind)
