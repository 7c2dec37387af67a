"""What the device holds of a run, and how parts of it are read back; for all lanes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.state import TrainState, policy_of
from rr_scale.replay import rings
from rr_scale.replay.sampler import SamplerState
from rr_scale.types import Array, Metrics, Transition

BLOCK = 4096
"""Rows read back from the device at a time: one program, whatever the number."""


class EngineState(NamedTuple):
    """All device state of a run; every leaf has a leading lane axis S."""

    train: TrainState
    replay: rings.AnyRing
    memory: Any
    metrics: Metrics  # sums since they were last read
    first_bad: Array  # [S] int32, first update with a non-finite number, -1 if none
    sampler: SamplerState


def read_rows(replay: rings.AnyRing, start: Array) -> Transition:
    """The rows from insertion index `start` on, fields [L, BLOCK, ...]."""
    capacity = replay.rows.reward.shape[1]
    index = (start + jnp.arange(BLOCK)) % capacity
    return jax.vmap(rings.read, in_axes=(0, None))(replay, index)


def read_leaves(nodes: Array, capacity: int) -> Array:
    """The leaves [L, capacity] of trees [L, 2P]."""
    leaves = nodes.shape[1] // 2
    return nodes[:, leaves : leaves + capacity]


def copy_policy(train: TrainState) -> TrainState:
    """What evaluating needs, in memory of its own."""
    # Copied inside a program: an argument that is returned as it is would be
    # the very buffer that the next step overwrites.
    return jax.tree.map(jnp.copy, policy_of(train))
