"""One lane's part of arrays that hold all lanes, without copying it out.

Lanes that run one after another draw from one lane of the ring at a time.
Slicing that lane out of [L, C, ...] would copy the whole ring in every step;
indexing [lane, rows] reads the drawn rows only.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from rr_scale.replay.rings import AnyRing
from rr_scale.types import Array


@dataclasses.dataclass(frozen=True)
class LaneField:
    """Stands for `array[lane]`, [C, ...], wherever rows of it are read."""

    array: Array  # [L, C, ...]
    lane: Array  # []

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one lane."""
        return tuple(self.array.shape[1:])

    def __getitem__(self, index: Any) -> Array:
        """Rows of this lane."""
        return self.array[self.lane, index]


def lane_view(replay: AnyRing, lane: Array) -> AnyRing:
    """The ring of one lane, for reading; all but its scalars are `LaneField`.

    Args:
      replay: all lanes, every leaf [L, ...].
      lane: [] int32.
    """

    def view(field: Array) -> Any:
        return field[lane] if field.ndim == 1 else LaneField(field, lane)

    return jax.tree.map(view, replay)
