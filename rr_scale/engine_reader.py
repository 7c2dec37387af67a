"""What a checkpoint reads of the replay: its rows, and what they are drawn by; for all lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.engine_state import EngineState
from rr_scale.placement import Placement
from rr_scale.replay import rings
from rr_scale.replay.sampler import SamplerState, row_fields
from rr_scale.types import Array

BLOCK = 4096
"""Rows read at a time: one program, whatever the number."""
AHEAD = 16
"""Blocks that may wait on the device until they are fetched."""

Rows = dict[str, np.ndarray]


class ReplayReader:
    """Copies of replay; holds no state of its own.

    Args:
      capacity: rows of a lane's ring.
      placement: where the lanes run.
    """

    def __init__(self, capacity: int, placement: Placement):
        self._capacity = capacity
        self._placement = placement
        self._rows = placement.program(_read_rows, "LLS")
        self._leaves = placement.program(partial(_read_leaves, capacity=capacity), "L")

    def rows(self, state: EngineState, start: int, stop: int) -> Callable[[], Rows]:
        """The rows with insertion index in [start, stop), fields [S, stop - start, ...].

        They are copied on the device; where that would take much memory, the
        first of them are brought to the host at once. What is returned brings
        the others there: to be called once, in any thread; `state` may go
        meanwhile.
        """
        blocks: list[Any] = []
        for first in range(start, stop, BLOCK):
            if len(blocks) >= AHEAD:
                blocks[-AHEAD] = self._placement.to_host(blocks[-AHEAD])
            blocks.append(self._rows(*_known(state), np.int32(first)))
        return partial(_joined, blocks, stop - start, self._placement.to_host)

    def prepare(self, state: EngineState) -> Callable[[], object]:
        """What compiles the program of `rows`, for any thread to call; `state` may go meanwhile."""

        def shape(x: Array) -> jax.ShapeDtypeStruct:
            # With its sharding, or `rows` would not find what was compiled.
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

        shapes = jax.tree.map(shape, _known(state))
        first = jax.ShapeDtypeStruct((), np.int32)
        return lambda: self._rows.lower(*shapes, first).compile()

    def leaves(self, state: EngineState, start: int, stop: int) -> np.ndarray | None:
        """What rows are drawn in proportion to [S, stop - start]; None if all are alike."""
        if state.sampler.priorities is None:
            return None
        leaves = self._leaves(state.sampler.priorities.nodes)
        return self._placement.to_host(leaves)[:, np.arange(start, stop) % self._capacity]


def _known(state: EngineState) -> tuple[rings.AnyRing, SamplerState]:
    return state.replay, state.sampler._replace(priorities=None)


def _read_rows(replay: rings.AnyRing, sampler: SamplerState, start: Array) -> dict[str, Array]:
    """The rows from insertion index `start` on, fields [L, BLOCK, ...]."""
    capacity = replay.rows.reward.shape[1]
    index = (start + jnp.arange(BLOCK)) % capacity
    rows = jax.vmap(rings.read, in_axes=(0, None))(replay, index)
    return rows._asdict() | {name: field[:, index] for name, field in row_fields(sampler).items()}


def _joined(blocks: list[Any], count: int, to_host: Callable[[Any], Rows]) -> Rows:
    """Blocks as one array per field [S, count, ...]; empties the list."""
    found: Rows = {}
    for first in range(0, count, BLOCK):
        for name, rows in to_host(blocks.pop(0)).items():
            if name not in found:
                # Filled block by block, not joined from all of them: half the memory.
                found[name] = np.empty((len(rows), count, *rows.shape[2:]), rows.dtype)
            found[name][:, first : first + BLOCK] = rows[:, : count - first]
    return found


def _read_leaves(nodes: Array, capacity: int) -> Array:
    """The leaves [L, capacity] of trees [L, 2P]."""
    leaves = nodes.shape[1] // 2
    return nodes[:, leaves : leaves + capacity]
