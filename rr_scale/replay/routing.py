"""Two lists of rows over one ring: what is trained on, and what is kept for validation.

Whole episodes go to one list or the other, so that no neighbour of a training
row is among those of validation. Both age with the ring.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array


class Listing(NamedTuple):
    """Rows in order of insertion: the `size` entries before `head`, around the array."""

    row: Array  # [C] int32
    head: Array  # [] int32
    size: Array  # [] int32


class Lists(NamedTuple):
    """Of one lane."""

    kept: Array  # [C] bool, whether a row is of a validation episode
    train: Listing
    validation: Listing


def empty(capacity: int) -> Lists:
    """Of a ring without rows."""
    zero = jnp.zeros((), jnp.int32)
    listing = Listing(jnp.zeros(capacity, jnp.int32), zero, zero)
    return Lists(jnp.zeros(capacity, bool), listing, listing)


def is_kept(root: Array, episode: Array, share: float) -> Array:
    """Whether an episode goes to validation; of two neighbours (0 and 1, 2 and 3) only the second.

    So no two in a row are kept, and a ring of two episodes always has rows to train on.

    Args:
      root: the lane's key.
      episode: its number.
      share: of all episodes, at most 1/2.
    """
    key = stream_key(root, Stream.ROUTE, episode)
    return (jax.random.uniform(key) < 2.0 * share) & (episode % 2 == 1)


def insert(lists: Lists, cursor: Array, kept: Array, low: Array) -> Lists:
    """Adds the row that was stored at `cursor`, and takes those that may be drawn no more.

    Args:
      lists: before.
      cursor: of the ring, before the row was stored.
      kept: whether its episode goes to validation.
      low: rows from this offset from `cursor` on stay; at most 1.
    """
    return Lists(
        lists.kept.at[cursor].set(kept),
        _append(_drop(lists.train, cursor, low), cursor, ~kept),
        _append(_drop(lists.validation, cursor, low), cursor, kept),
    )


def _append(listing: Listing, row: Array, applies: Array) -> Listing:
    place = listing.row.at[listing.head]
    capacity = listing.row.shape[0]
    return Listing(
        place.set(jnp.where(applies, row, listing.row[listing.head])),
        (listing.head + applies) % capacity,
        listing.size + applies,
    )


def _drop(listing: Listing, cursor: Array, low: Array) -> Listing:
    """Forgets the oldest entries, by bisection: entries are in order of age."""
    capacity = listing.row.shape[0]

    def stays(entry: Array) -> Array:
        row = listing.row[(listing.head - listing.size + entry) % capacity]
        return (row - cursor) % capacity - capacity >= low

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        first, last = bounds
        middle = (first + last) // 2
        found = stays(middle)
        # Once they meet, nothing moves.
        return (
            jnp.where(found | (first == last), first, middle + 1),
            jnp.where(found & (first < last), middle, last),
        )

    bounds = (jnp.zeros((), jnp.int32), listing.size)
    gone, _ = jax.lax.fori_loop(0, capacity.bit_length(), halve, bounds)
    return listing._replace(size=listing.size - gone)


def draw(listing: Listing, unfinished: Array, key: Array, size: int) -> tuple[Array, Array]:
    """Rows [size] with replacement, all alike.

    Args:
      listing: of one lane.
      unfinished: the newest entries that must not be drawn yet.
      key: consumed.
      size: how many.

    Returns:
      Their indices, and among how many they were drawn; if among none, they
      mean nothing.
    """
    among = listing.size - unfinished
    entry = jax.random.randint(key, (size,), 0, jnp.maximum(among, 1))
    place = (listing.head - listing.size + entry) % listing.row.shape[0]
    return listing.row[place], among


def refill(capacity: int, kept: np.ndarray, first_row: int, low: np.ndarray) -> Lists:
    """Those of all lanes from the rows of a checkpoint.

    Args:
      capacity: rows of the ring, perhaps more than before.
      kept: [S, n] in insertion order.
      first_row: insertion index of the first of them.
      low: [S], how many of these rows may not be drawn any more.
    """
    lanes, count = kept.shape
    index = np.arange(first_row, first_row + count) % capacity
    flags: Any = np.zeros((lanes, capacity), bool)
    flags[:, index] = kept
    listings = []
    for wanted in (False, True):
        row: Any = np.zeros((lanes, capacity), np.int32)
        size: Any = np.zeros(lanes, np.int32)
        for lane in range(lanes):
            rows = index[low[lane] :][kept[lane, low[lane] :] == wanted]
            row[lane, : len(rows)], size[lane] = rows, len(rows)
        listings.append(Listing(row, size % capacity, size))
    return Lists(flags, *listings)
