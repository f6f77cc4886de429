"""Chunks of a stream: large enough to fill an engine's batches, small enough to be kept in memory and answered soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

FIRST_ROWS = 32
"""The number of rows of the first chunk; each chunk has at most twice as many as the one before."""
MOST_ROWS = 4096
"""The number of requests that an engine tokenises at once: more rows would not make it faster."""
MOST_CHARACTERS = 2**20
"""The size at which a chunk ends: about 250,000 tokens, which are several batches of any device."""
_BYTES_PER_CHARACTER = 16
"""How many bytes of audio or of an image count as a character: they become fewer tokens than text."""

Item = TypeVar("Item")


def chunks(
    items: Iterable[Item], size_of: Callable[[Item], int], ready: Callable[[], bool] = lambda: True
) -> Iterator[list[Item]]:
    """The items in their order, in chunks that are the same whenever the items are, unless ``ready`` says otherwise.

    An error of the items is raised after a chunk with all items before it.

    size_of:
        the characters of an item, as :func:`characters` counts them.
    ready:
        whether the next item comes without a wait; a chunk ends where it does not.
    """
    rest = iter(items)
    most, chunk, size = FIRST_ROWS, list[Item](), 0
    while True:
        try:
            item = next(rest)
        except StopIteration:
            break
        except Exception:
            if chunk:
                yield chunk
            raise
        chunk.append(item)
        size += size_of(item)
        if len(chunk) >= most or size >= MOST_CHARACTERS or not ready():
            yield chunk
            most, chunk, size = min(2 * most, MOST_ROWS), [], 0
    if chunk:
        yield chunk


def characters(value: Any) -> int:
    """The characters of the texts in a value of a row; a number counts as one, and audio by its bytes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (bytes, bytearray)):
        return len(value) // _BYTES_PER_CHARACTER
    if isinstance(value, Mapping):
        return sum(map(characters, value.values()))
    return sum(map(characters, value)) if isinstance(value, (list, tuple)) else 1
