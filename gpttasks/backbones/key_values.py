"""Keys and values of what was read, in room that is set aside once: adding tokens copies only the new ones.

The cache of transformers joins old and new tensors at every step, which for a small model takes longer than reading the
token. All layers keep all tokens here, those with a sliding window too: what a token sees is up to the masks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class KeyValues(Cache):  # type: ignore[misc]  # transformers has no types
    """A cache as the models of transformers take it, with room for ``room`` tokens in each of ``rows`` rows.

    use:
        the rows that are being read: all, unless some are read before others.
    """

    def __init__(self, room: int, rows: int = 1) -> None:
        self.room, self.rows, self.use = room, rows, slice(None)
        super().__init__(layer_class_to_replicate=partial(RoomyLayer, self))

    def copied(self, rows: int, room: int) -> KeyValues:
        """What one row holds, for so many rows of their own; this cache stays as it is."""
        other = KeyValues(room, rows)
        other.layers = [layer.copied(other) for layer in self.layers]
        return other

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self.rows = len(rows)
        for layer in self.layers:
            layer.hold(layer.keys[rows], layer.values[rows])

    def use_rows(self, rows: slice, length: int) -> None:
        """Read these rows next, after the ``length`` tokens that they have."""
        self.use = rows
        for layer in self.layers:
            layer.show(length)


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values [rows, heads, tokens, width] of one layer."""

    def __init__(self, whole: KeyValues) -> None:
        super().__init__()
        self._whole = whole

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
        self._key_room[self._whole.use, :, start:end] = key_states
        self._value_room[self._whole.use, :, start:end] = value_states
        self.show(end)
        return self.keys, self.values

    def copied(self, whole: KeyValues) -> RoomyLayer:
        """What one row holds, for all rows of another cache."""
        other = RoomyLayer(whole)
        other.hold(self.keys, self.values)
        return other

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Set room aside for all rows of the cache, with these tokens in it; one row stands for all."""
        self.device, self.is_initialized = keys.device, True
        length = keys.shape[-2]
        self._key_room, self._value_room = (
            held.new_empty(self._whole.rows, held.shape[1], self._whole.room, held.shape[3]) for held in (keys, values)
        )
        if length:
            self._key_room[:, :, :length] = keys
            self._value_room[:, :, :length] = values
        self.show(length)

    def show(self, length: int) -> None:
        """Have the first ``length`` tokens of the rows in use."""
        self.keys = self._key_room[self._whole.use, :, :length]
        self.values = self._value_room[self._whole.use, :, :length]
