"""Keys and values of what was read, in room that is set aside once: adding tokens copies only the new ones.

The cache of transformers joins old and new tensors at every step, which for a small model takes longer than reading the
token. All layers keep all tokens here, those with a sliding window too: what a token sees is up to the masks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


@dataclass
class Room:
    """What all layers of a cache have room for.

    tokens: of each row; rows: how many there are; use: those that are being read, all unless some come before others.
    """

    tokens: int
    rows: int
    use: slice = field(default_factory=lambda: slice(None))


class KeyValues(Cache):  # type: ignore[misc]  # transformers has no types
    """A cache as the models of transformers take it, with room for ``room`` tokens in each of ``rows`` rows.

    The layers do not know the cache, only its room: a cycle would hold the memory until Python looks for cycles.
    """

    def __init__(self, room: int, rows: int = 1) -> None:
        self.room = Room(room, rows)
        super().__init__(layer_class_to_replicate=partial(RoomyLayer, self.room))

    def copied(self, rows: int, room: int) -> KeyValues:
        """A copy of the one row for each of ``rows`` rows; this cache is not changed."""
        other = KeyValues(room, rows)
        other.layers = [layer.copied(other.room) for layer in self.layers]
        return other

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self.room.rows = len(rows)
        for layer in self.layers:
            layer.hold(layer.keys[rows], layer.values[rows])

    def use_rows(self, rows: slice, length: int, gap: int = 0) -> None:
        """Read these rows next, after the ``length`` tokens that they have and ``gap`` places that masks leave out."""
        self.room.use = rows
        for layer in self.layers:
            layer.show(length + gap)
            # What is left out is multiplied by 0, and memory may hold NaN.
            layer.keys[:, :, length:] = 0
            layer.values[:, :, length:] = 0


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values [rows, heads, tokens, width] of one layer."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Set the room aside, now that sizes and device are known."""
        self.hold(key_states[:, :, :0], value_states[:, :, :0])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens to the rows in use; gives all that these hold."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            raise ValueError(f"there is room for {self._key_room.shape[-2]} tokens, and {end} are to be kept")
        self._key_room[self._room.use, :, start:end] = key_states
        self._value_room[self._room.use, :, start:end] = value_states
        self.show(end)
        return self.keys, self.values

    def copied(self, room: Room) -> RoomyLayer:
        """A layer of another cache, with the tokens of this one's single row in all of its rows."""
        other = RoomyLayer(room)
        other.hold(self.keys, self.values)
        return other

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Reserve room for all rows of the cache and copy these tokens into it; a single row is repeated for all."""
        self.device, self.is_initialized = keys.device, True
        length = keys.shape[-2]
        self._key_room, self._value_room = (
            held.new_empty(self._room.rows, held.shape[1], self._room.tokens, held.shape[3]) for held in (keys, values)
        )
        if length:
            self._key_room[:, :, :length] = keys
            self._value_room[:, :, :length] = values
        self.show(length)

    def show(self, length: int) -> None:
        """Have the first ``length`` tokens of the rows in use."""
        self.keys = self._key_room[self._room.use, :, :length]
        self.values = self._value_room[self._room.use, :, :length]
