"""One lane's part of arrays that hold all lanes, without copying it out.

Lanes that run one after another draw from one lane of the ring at a time.
Slicing that lane out of [L, C, ...] would copy the whole ring in every step;
indexing [lane, rows] reads the drawn rows only.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from rr_scale.replay.ring import Ring
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


def lane_view(rings: Ring, lane: Array) -> Ring:
    """The ring of one lane, for reading; its rows are `LaneField`.

    Args:
      rings: all lanes, every leaf [L, ...].
      lane: [] int32.
    """
    rows = jax.tree.map(lambda field: LaneField(field, lane), rings.rows)
    return Ring(rows, rings.cursor[lane], rings.size[lane])
