"""A ring that stores every observation once, for one lane.

Observations lie in a second ring, of slots, in the order in which they were
seen. A row keeps the slot of its observation; what followed is always in the
slot after it. A row that begins with what followed the row before shares that
slot; any other, such as the first of an episode, takes a slot of its own, so
that true final observations are kept. Shared is what has the same bits, so
samples are those of the plain ring whatever the rows are.

There is one spare slot for 8 rows. Where more are needed (episodes of fewer
than 8 steps on average), the oldest rows are given up as their slots are taken
and `size` falls below the capacity; 9/16 of it is always left. Which rows are
left depends on the rows alone, not on where in the ring they lie.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.types import Array, Transition

_ROWS_PER_SPARE_SLOT = 8


class CompactRows(NamedTuple):
    """Fields [C, ...] of rows, without observations; `slot` is where they are."""

    slot: Array  # int32
    action: Array
    reward: Array
    terminated: Array
    truncated: Array


class CompactRing(NamedTuple):
    """`rows` [C, ...], `observations` [M, O]; `cursor` and `size` are those of `ring.Ring`."""

    rows: CompactRows
    observations: Array
    cursor: Array  # [] int32
    size: Array  # [] int32


def empty(capacity: int, observation_size: int, action_size: int) -> CompactRing:
    """A ring without rows."""
    rows = CompactRows(
        slot=jnp.zeros(capacity, jnp.int32),
        action=jnp.zeros((capacity, action_size)),
        reward=jnp.zeros(capacity),
        terminated=jnp.zeros(capacity, bool),
        truncated=jnp.zeros(capacity, bool),
    )
    # Two more: what followed the newest row, and an episode's end at either end of the ring.
    slots = capacity + capacity // _ROWS_PER_SPARE_SLOT + 2
    observations = jnp.zeros((slots, observation_size))
    return CompactRing(rows, observations, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def insert(ring: CompactRing, transition: Transition) -> CompactRing:
    """Writes one row at the cursor, over the oldest one when full."""
    capacity, slots = ring.rows.reward.shape[0], ring.observations.shape[0]
    newest = ring.rows.slot[(ring.cursor - 1) % capacity]
    continues = _same_bits(ring.observations[(newest + 1) % slots], transition.observation)
    slot = (newest + jnp.where(continues, 1, 2)) % slots
    row = CompactRows(
        slot, transition.action, transition.reward, transition.terminated, transition.truncated
    )
    rows = jax.tree.map(lambda all_, one: all_.at[ring.cursor].set(one), ring.rows, row)
    # If it continues, this writes to `slot` what is there.
    both = jnp.stack([transition.observation, transition.next_observation])
    observations = ring.observations.at[jnp.stack([slot, (slot + 1) % slots])].set(both)
    cursor = (ring.cursor + 1) % capacity
    size = jnp.minimum(ring.size + 1, capacity)
    size -= _overwritten(rows.slot, cursor, size, slot, slots)
    return CompactRing(rows, observations, cursor, size)


def _overwritten(slot: Array, cursor: Array, size: Array, newest: Array, slots: int) -> Array:
    """How many of the oldest rows lost a slot to the newest row.

    A row is intact while the slots from its own to the newest row's second one
    are at most M, that is, while the newest slot is at most M - 2 ahead of its
    own. That was so for all rows before, the newest slot has moved by 1 or 2,
    and no two rows have the same slot: so at most the two oldest rows fell out,
    and they are at most M behind.
    """
    age = jnp.arange(2)
    # 1 ... M behind, taken modulo M, needs the 1 subtracted first.
    behind = (newest - slot[(cursor - size + age) % slot.shape[0]] - 1) % slots + 1
    return jnp.sum((age < size - 1) & (behind > slots - 2), dtype=jnp.int32)


def _same_bits(left: Array, right: Array) -> Array:
    # Not by value: -0.0 is not to become 0.0.
    as_integers = (jax.lax.bitcast_convert_type(x, jnp.int32) for x in (left, right))
    return jnp.all(jnp.equal(*as_integers))


def observation(ring: CompactRing, index: Array) -> Array:
    """Observations [..., O] of the rows at `index` [...]."""
    return ring.observations[ring.rows.slot[index]]


def next_observation(ring: CompactRing, index: Array) -> Array:
    """Observations [..., O] that followed the rows at `index` [...]."""
    return ring.observations[(ring.rows.slot[index] + 1) % ring.observations.shape[0]]


def read(ring: CompactRing, index: Array) -> Transition:
    """The rows at `index` [...] as they were inserted.

    Of a row that is not held, action and observations are NaN: an action never
    is, so whoever reads the row knows.
    """
    rows = ring.rows
    held = (index - ring.cursor + ring.size) % rows.reward.shape[0] < ring.size

    def or_nan(field: Array) -> Array:
        return jnp.where(held[..., None], field, jnp.nan)

    return Transition(
        observation=or_nan(observation(ring, index)),
        action=or_nan(rows.action[index]),
        reward=rows.reward[index],
        terminated=rows.terminated[index],
        truncated=rows.truncated[index],
        next_observation=or_nan(next_observation(ring, index)),
    )
