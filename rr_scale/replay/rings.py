"""The rings there are, behind one interface.

Whoever draws rows needs `rows` (action, reward and flags by row index),
`cursor`, `size`, and the functions of this module, which work on any ring.
Row indices mean the same in all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from rr_scale.replay import compact
from rr_scale.replay import refill as refills
from rr_scale.replay import ring as plain
from rr_scale.types import Array, Transition

AnyRing = plain.Ring | compact.CompactRing


class Storage(NamedTuple):
    """What a kind of ring can do; functions of this module say what each is."""

    kind: type
    empty: Callable[[int, int, int], Any]
    insert: Callable[[Any, Transition], Any]
    observation: Callable[[Any, Array], Array]
    next_observation: Callable[[Any, Array], Array]
    read: Callable[[Any, Array], Transition]
    refill: Callable[..., Any]


STORAGES = {
    "plain": Storage(
        plain.Ring,
        plain.empty,
        plain.insert,
        plain.observation,
        plain.next_observation,
        plain.read,
        refills.plain,
    ),
    "compact": Storage(
        compact.CompactRing,
        compact.empty,
        compact.insert,
        compact.observation,
        compact.next_observation,
        compact.read,
        refills.compact,
    ),
}
_BY_KIND = {storage.kind: storage for storage in STORAGES.values()}


def empty(storage: str, capacity: int, observation_size: int, action_size: int) -> AnyRing:
    """A ring without rows, for one lane."""
    return STORAGES[storage].empty(capacity, observation_size, action_size)


def nbytes(storage: str, capacity: int, observation_size: int, action_size: int) -> int:
    """Device bytes of the ring of one lane."""
    make = functools.partial(empty, storage, capacity, observation_size, action_size)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(make)))


def insert(ring: AnyRing, transition: Transition) -> AnyRing:
    """Writes one row at the cursor, over the oldest one when full; O(1), in place if donated."""
    return _BY_KIND[type(ring)].insert(ring, transition)


def observation(ring: AnyRing, index: Array) -> Array:
    """Observations [..., O] of the rows at `index` [...], which must be held."""
    return _BY_KIND[type(ring)].observation(ring, index)


def next_observation(ring: AnyRing, index: Array) -> Array:
    """Observations [..., O] that followed the rows at `index` [...], which must be held."""
    return _BY_KIND[type(ring)].next_observation(ring, index)


def read(ring: AnyRing, index: Array) -> Transition:
    """The rows at `index` [...], in full; the action of one that was given up is NaN."""
    return _BY_KIND[type(ring)].read(ring, index)


def refill(
    like: AnyRing,
    rows: dict[str, np.ndarray],
    first_row: int,
    total_rows: int,
    put: Callable[[np.ndarray], Any],
) -> AnyRing:
    """The rings of all lanes from rows that `read` gave, of whichever kind of ring.

    Args:
      like: arrays or shapes [S, ...] of rings of the wanted kind and capacity.
      rows: fields [S, n, ...] in insertion order, n at most the capacity; emptied.
      first_row: insertion index of the first of them.
      total_rows: rows ever inserted.
      put: brings an array to the device; called for one at a time.
    """
    return _BY_KIND[type(like)].refill(like, rows, first_row, total_rows, put)
