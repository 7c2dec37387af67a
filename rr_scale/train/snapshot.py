"""Device state to and from what a checkpoint holds.

Typed keys travel as their integers; the ring travels as rows, which the
checkpoint stores in chunks, so that only what is new is written; a tree of
priorities travels as its leaves.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from rr_scale.engine import Engine, EngineState
from rr_scale.replay import rings


def to_saved(engine: Engine, state: EngineState) -> Any:
    """Everything but replay rows and their leaves, as plain arrays of the host [S, ...].

    They are copies: on a CPU what comes from the device can be a view of it,
    and the state is about to be donated.
    """
    return jax.tree.map(_own, engine.placement.to_host(_plain(state)))


def _own(array: np.ndarray) -> np.ndarray:
    """The array, or a copy if its memory is not NumPy's (parts of several devices were copied)."""
    memory = array
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    return array if memory.flags.owndata else np.array(array)


def saved_shapes(engine: Engine, seeds: list[int]) -> Any:
    """What `to_saved` would give, as shapes and dtypes."""
    return _lanes(engine, jax.eval_shape(_plain, engine.shapes(seeds)))


def _plain(state: EngineState) -> EngineState:
    train = state.train._replace(root=jax.random.key_data(state.train.root))
    sampler = state.sampler
    if sampler.priorities is not None:
        sampler = sampler._replace(priorities=sampler.priorities._replace(nodes=None))
    # Which rows belong together is told by the rows themselves.
    sampler = sampler._replace(episodes=None, lists=None)
    return state._replace(train=train, replay=None, sampler=sampler)


def from_saved(
    engine: Engine,
    seeds: list[int],
    saved: Any,
    rows: dict[str, np.ndarray],
    first_row: int,
    total_rows: int,
    leaves: np.ndarray | None = None,
) -> EngineState:
    """The device state of a checkpoint.

    Args:
      engine: its ring may be larger than the one that was saved, if the budget
        grew, and its devices others.
      seeds: of all lanes.
      saved: what `to_saved` gave, read back.
      rows: fields [S, n, ...] in insertion order; emptied.
      first_row: insertion index of the first of them.
      total_rows: rows ever inserted.
      leaves: what `Engine.leaves` gave for these rows.
    """
    # Only transfers: a jnp function here would be a program that a fresh run does not compile.
    state = engine.placement.to_device(saved)
    root = jax.random.wrap_key_data(state.train.root, impl="threefry2x32")
    like = _lanes(engine, engine.shapes(seeds).replay)
    capacity = like.rows.reward.shape[1]
    # The ring empties what it is given.
    about = {name: field for name, field in rows.items() if name in engine.sampler.NEEDED}
    ring = rings.refill(like, rows, first_row, total_rows, engine.placement.to_device)
    size = engine.placement.to_host(ring.size)
    sampler = engine.sampler.refill(capacity, size, about, first_row, leaves)
    if sampler.priorities is not None:
        highest = saved.sampler.priorities.highest
        sampler = sampler._replace(priorities=sampler.priorities._replace(highest=highest))
    return state._replace(
        train=state.train._replace(root=root),
        replay=ring,
        sampler=engine.placement.to_device(sampler),
    )


def _lanes(engine: Engine, shapes: Any) -> Any:
    """Without the copies that fill up the devices."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((engine.num_lanes, *leaf.shape[1:]), leaf.dtype), shapes
    )
