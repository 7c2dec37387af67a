"""Rings of all lanes from the rows of a checkpoint, in NumPy.

The rows are those that `read` gave: whole transitions in order of insertion,
whichever ring they come from and go to. A ring filled here holds the rows that
it would hold if it had never been away, at the same indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rr_scale.replay.compact import CompactRing, CompactRows
from rr_scale.replay.ring import Ring
from rr_scale.types import Transition

Rows = dict[str, np.ndarray]
Put = Callable[[np.ndarray], Any]


def plain(like: Ring, rows: Rows, first_row: int, total_rows: int, put: Put) -> Ring:
    """See `rings.refill`."""
    lanes, capacity = like.rows.reward.shape
    index = np.arange(first_row, total_rows) % capacity
    size = _held(rows, lanes)
    fields = {name: put(_placed(rows, name, index, x)) for name, x in like.rows._asdict().items()}
    return Ring(Transition(**fields), put(_filled(lanes, total_rows % capacity)), put(size))


def compact(
    like: CompactRing, rows: Rows, first_row: int, total_rows: int, put: Put
) -> CompactRing:
    """See `rings.refill`. Slots are numbered anew, which no sample shows."""
    lanes, capacity = like.rows.reward.shape
    index = np.arange(first_row, total_rows) % capacity
    size = _held(rows, lanes)
    slot = np.zeros(like.rows.slot.shape, like.rows.slot.dtype)
    observations = np.zeros(like.observations.shape, like.observations.dtype)
    if len(index):
        before, after = rows.pop("observation"), rows.pop("next_observation")
        for lane in range(lanes):
            slots, kept = _slots(before[lane], after[lane], observations.shape[1])
            size[lane] = min(size[lane], kept)
            slot[lane, index] = slots
            newest = slots[-size[lane] :]
            observations[lane, newest] = before[lane, -size[lane] :]
            observations[lane, (newest + 1) % observations.shape[1]] = after[lane, -size[lane] :]
        del before, after
    stored = put(observations)
    del observations
    others = {name: x for name, x in like.rows._asdict().items() if name != "slot"}
    fields = {name: put(_placed(rows, name, index, x)) for name, x in others.items()}
    cursor = put(_filled(lanes, total_rows % capacity))
    return CompactRing(CompactRows(put(slot), **fields), stored, cursor, put(size))


def _slots(before: np.ndarray, after: np.ndarray, slots: int) -> tuple[np.ndarray, int]:
    """Slots [n] of one lane's rows, and how many of the newest fit; as `compact.insert` does it."""
    bits = np.dtype(f"i{before.itemsize}")
    continues = (before.view(bits)[1:] == after.view(bits)[:-1]).all(axis=1)
    place = np.concatenate([[0], np.cumsum(np.where(continues, 1, 2))])
    return place % slots, int(np.sum(place[-1] - place <= slots - 2))


def _held(rows: Rows, lanes: int) -> np.ndarray:
    """How many rows of each lane [S] are younger than any that was given up."""
    if not rows:
        return _filled(lanes, 0)
    gone = np.isnan(rows["action"][..., 0])
    return np.where(gone.any(axis=1), gone[:, ::-1].argmax(axis=1), gone.shape[1]).astype(np.int32)


def _placed(rows: Rows, name: str, index: np.ndarray, like: Any) -> np.ndarray:
    field = np.zeros(like.shape, like.dtype)
    if len(index):
        # Popped, so that host memory holds the ring once and not twice.
        field[:, index] = rows.pop(name)
    return field


def _filled(lanes: int, value: int) -> np.ndarray:
    return np.full(lanes, value, np.int32)
