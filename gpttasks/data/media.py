"""Audio, images and other media in a row: bytes, or the path of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..example import Media


@dataclass(frozen=True)
class MediaType:
    """A MIME type and the signatures by which its files are recognised.

    signatures:
        Each is a tuple of (offset, bytes); a file matches a signature if all its bytes are at their offsets.
    owner:
        The plugin that registered the type, as messages name it; None for gpttasks itself.
    """

    kind: ClassVar[str] = "media-type"

    name: str
    signatures: tuple[tuple[tuple[int, bytes], ...], ...]
    owner: str | None = None

    @property
    def description(self) -> str:
        """The signatures as text, for a list of media types."""
        return " or ".join(
            " and ".join(f"{value!r} at byte {offset}" for offset, value in signature) for signature in self.signatures
        )

    def matching_bytes(self, data: bytes) -> int:
        """The length in bytes of the longest signature that ``data`` matches; 0 if it matches none."""
        return max(
            (
                sum(len(value) for _, value in signature)
                for signature in self.signatures
                if all(data.startswith(value, offset) for offset, value in signature)
            ),
            default=0,
        )


def _ogg(codec: bytes) -> tuple[tuple[int, bytes], ...]:
    """The signature of an Ogg file. Its first page contains one packet, the header of the codec."""
    return (0, b"OggS"), (26, b"\x01"), (28, codec)


def _starting_with(name: str, *prefixes: bytes) -> MediaType:
    return MediaType(name, tuple(((0, prefix),) for prefix in prefixes))


MEDIA_TYPES: Mapping[str, MediaType] = {
    media_type.name: media_type
    for media_type in (
        MediaType("audio/wav", (((0, b"RIFF"), (8, b"WAVE")),)),
        _starting_with("audio/flac", b"fLaC"),
        MediaType("audio/ogg", tuple(map(_ogg, (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")))),
        _starting_with("audio/mpeg", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
        MediaType("audio/aiff", (((0, b"FORM"), (8, b"AIFF")), ((0, b"FORM"), (8, b"AIFC")))),
        _starting_with("image/png", b"\x89PNG"),
        _starting_with("image/jpeg", b"\xff\xd8\xff"),
        _starting_with("image/gif", b"GIF8"),
    )
}
"""The media types that gpttasks recognises without plugins, by name.

RIFF, FORM and Ogg are containers of sound, images and video: the type depends on their content.
"""


def _beginning(data: bytes) -> str:
    """How a file of an unknown format begins, for a message; for a container, its content."""
    if data[:4] in (b"RIFF", b"FORM"):
        return f"a {data[:4].decode()} file that contains {data[8:12]!r}"
    if data[:4] == b"OggS":
        return f"an Ogg file whose first stream begins with {data[28:36]!r}"
    if data[4:8] == b"ftyp":
        return f"an MP4 file of the brand {data[8:12]!r}"
    return f"begins with {data[:8]!r}"


def media_of(value: object, beside: str | None = None, types: Mapping[str, MediaType] = MEDIA_TYPES) -> Media:
    """The media in a value of a row: Media, bytes, a mapping with ``bytes`` or ``path``, or a path.

    beside:
        The file of the row: relative paths start at its folder. If None, they start at the working directory.
    types:
        The media types to recognise. If several match, the one with the longest matching signature counts.

    Raises ValueError for any other value, a missing file, empty bytes, and bytes of an unknown format.
    """
    if isinstance(value, Media):
        return value
    name = "the bytes"
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
        raise ValueError(f"got {type(value).__name__}, expected bytes, a path, or a mapping with one of them")
    if not value:
        raise ValueError(f"{name}: empty, expected audio or an image")
    best = max(types.values(), key=lambda media_type: media_type.matching_bytes(value), default=None)
    if best is None or not best.matching_bytes(value):
        known = ", ".join(types) or "none"
        raise ValueError(f"{name}: unknown format, {_beginning(value)}; known formats: {known}")
    return Media(value, best.name)
