"""The keys and values of processed tokens, in memory that is allocated once: adding tokens copies only the new ones.

The cache of transformers joins old and new tensors at every step, which for a small model takes longer than processing
the token. Here all layers keep all tokens, even those with a sliding window: the masks decide what a token sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


@dataclass
class Room:
    """The size of the memory in each layer of a cache.

    tokens: the number of tokens per row; rows: the number of rows; use: the rows that are being processed.
    """

    tokens: int
    rows: int
    use: slice = field(default_factory=lambda: slice(None))


class KeyValues(Cache):  # type: ignore[misc]  # transformers has no types
    """A cache for the models of transformers, with room for ``room`` tokens in each of ``rows`` rows.

    The layers refer to the room and not to the cache: a reference cycle would keep the memory until the garbage
    collector runs.
    """

    def __init__(self, room: int, rows: int = 1) -> None:
        self.room = Room(room, rows)
        super().__init__(layer_class_to_replicate=partial(RoomyLayer, self.room))

    def copied(self, rows: int, room: int) -> KeyValues:
        """A new cache of ``rows`` rows with room for ``room`` tokens, each a copy of this cache's single row."""
        other = KeyValues(room, rows)
        other.layers = [layer.copied(other.room) for layer in self.layers]
        return other

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all other rows."""
        self.room.rows = len(rows)
        for layer in self.layers:
            layer.hold(layer.keys[rows], layer.values[rows])

    def use_rows(self, rows: slice, length: int, gap: int = 0) -> None:
        """Use these rows from now on: ``length`` tokens that they hold, then ``gap`` places that the masks exclude."""
        self.room.use = rows
        for layer in self.layers:
            layer.show(length + gap)
            # What the masks exclude is multiplied by 0, and uninitialised memory may hold NaN.
            layer.keys[:, :, length:] = 0
            layer.values[:, :, length:] = 0


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values [rows, heads, tokens, width] of one layer."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the memory, now that sizes and device are known."""
        self.hold(key_states[:, :, :0], value_states[:, :, :0])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens to the rows in use; return all keys and values of these rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            raise ValueError(f"got {end} tokens, but the cache has room for {self._key_room.shape[-2]}")
        self._key_room[self._room.use, :, start:end] = key_states
        self._value_room[self._room.use, :, start:end] = value_states
        self.show(end)
        return self.keys, self.values

    def copied(self, room: Room) -> RoomyLayer:
        """The layer of another cache, each of whose rows is a copy of this layer's single row."""
        other = RoomyLayer(room)
        other.hold(self.keys, self.values)
        return other

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Allocate memory for all rows of the cache, and put these tokens into it; a single row is copied to all."""
        self.device, self.is_initialized = keys.device, True
        length = keys.shape[-2]
        self._key_room, self._value_room = (
            states.new_empty(self._room.rows, states.shape[1], self._room.tokens, states.shape[3])
            for states in (keys, values)
        )
        if length:
            self._key_room[:, :, :length] = keys
            self._value_room[:, :, :length] = values
        self.show(length)

    def show(self, length: int) -> None:
        """Make ``keys`` and ``values`` those of the first ``length`` tokens of the rows in use."""
        self.keys = self._key_room[self._room.use, :, :length]
        self.values = self._value_room[self._room.use, :, :length]
