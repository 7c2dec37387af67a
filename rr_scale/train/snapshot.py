"""Device state to and from what a checkpoint holds.

Typed keys travel as their integers; the ring travels as rows, which the
checkpoint stores in chunks, so that only what is new is written.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from rr_scale.engine import EngineState
from rr_scale.replay import rings


def to_saved(state: EngineState) -> Any:
    """Everything but the replay rows, as plain arrays."""
    train = state.train._replace(root=jax.random.key_data(state.train.root))
    return state._replace(train=train, replay=None)


def from_saved(
    saved: Any, like: EngineState, rows: dict[str, np.ndarray], first_row: int, total_rows: int
) -> EngineState:
    """The device state of a checkpoint.

    Args:
      saved: what `to_saved` gave, read back.
      like: shapes of the engine's state (its ring may be larger than the one
        that was saved, if the budget grew).
      rows: fields [S, n, ...] in insertion order; emptied.
      first_row: insertion index of the first of them.
      total_rows: rows ever inserted.
    """
    # Only transfers: a jnp function here would be a program that a fresh run does not compile.
    root = jax.random.wrap_key_data(jax.device_put(saved.train.root), impl="threefry2x32")
    state = jax.device_put(saved._replace(train=saved.train._replace(root=None)))
    ring = rings.refill(like.replay, rows, first_row, total_rows, jax.device_put)
    return state._replace(train=state.train._replace(root=root), replay=ring)
