"""A ring of transitions on the device, for one lane.

Rows are stored one step each, as they happened; what a batch needs beyond
that (n-step returns, discounts) is formed when it is drawn. Inserting costs
the same at any capacity, and in place when the ring is donated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.types import Array, Transition


class Ring(NamedTuple):
    """`rows` [C, ...] per field; the next row goes to `cursor`; `size` rows are valid."""

    rows: Transition
    cursor: Array  # [] int32
    size: Array  # [] int32


def empty(capacity: int, observation_size: int, action_size: int) -> Ring:
    """A ring without rows."""
    rows = Transition(
        observation=jnp.zeros((capacity, observation_size)),
        action=jnp.zeros((capacity, action_size)),
        reward=jnp.zeros(capacity),
        terminated=jnp.zeros(capacity, bool),
        truncated=jnp.zeros(capacity, bool),
        next_observation=jnp.zeros((capacity, observation_size)),
    )
    return Ring(rows, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def insert(ring: Ring, transition: Transition) -> Ring:
    """Writes one row at the cursor, over the oldest one when full."""
    capacity = ring.rows.reward.shape[0]
    rows = jax.tree.map(lambda all_, one: all_.at[ring.cursor].set(one), ring.rows, transition)
    cursor = (ring.cursor + 1) % capacity
    return Ring(rows, cursor, jnp.minimum(ring.size + 1, capacity))


def by_age(ring: Any, age: Array) -> Array:
    """Row index of the `age`-th oldest row of any kind of ring; 0 is the oldest."""
    capacity = ring.rows.reward.shape[0]
    return (ring.cursor - ring.size + age) % capacity


def observation(ring: Ring, index: Array) -> Array:
    """Observations [..., O] of the rows at `index` [...]."""
    return ring.rows.observation[index]


def next_observation(ring: Ring, index: Array) -> Array:
    """Observations [..., O] that followed the rows at `index` [...]."""
    return ring.rows.next_observation[index]


def read(ring: Ring, index: Array) -> Transition:
    """The rows at `index` [...], in full."""
    return jax.tree.map(lambda field: field[index], ring.rows)
