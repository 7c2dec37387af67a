"""Which rows of a ring belong together, and which are of whole episodes; for one lane."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rr_scale.replay.rings import AnyRing
from rr_scale.types import Array


class Episodes(NamedTuple):
    """Rows carry the number of their episode and their step in it, both from 0."""

    episode: Array  # [C] int32
    step: Array  # [C] int32
    length: Array  # [C] int32, of episode e at e modulo C; 0 while it goes on
    current: Array  # [] int32, number of the episode of the next row
    elapsed: Array  # [] int32, its rows so far


def empty(capacity: int) -> Episodes:
    """Of a ring without rows."""
    zeros, zero = jnp.zeros(capacity, jnp.int32), jnp.zeros((), jnp.int32)
    return Episodes(zeros, zeros, zeros, zero, zero)


def insert(episodes: Episodes, row: Array, end: Array) -> Episodes:
    """Notes that a row was stored.

    Args:
      episodes: before.
      row: index of the row in the ring.
      end: whether its episode ended with it.
    """
    capacity = episodes.step.shape[0]
    now = episodes.elapsed + 1
    return Episodes(
        episodes.episode.at[row].set(episodes.current),
        episodes.step.at[row].set(episodes.elapsed),
        episodes.length.at[episodes.current % capacity].set(jnp.where(end, now, 0)),
        episodes.current + end,
        jnp.where(end, 0, now),
    )


def whole(episodes: Episodes, ring: AnyRing) -> tuple[Array, Array]:
    """From where to where the ring holds whole episodes: offsets [] from its cursor, at most 0.

    An episode that goes on is not whole, nor is one whose first rows are gone.
    """
    capacity = ring.rows.reward.shape[0]
    oldest = (ring.cursor - ring.size) % capacity
    lost = episodes.step[oldest]
    length = episodes.length[episodes.episode[oldest] % capacity]
    # While the episode of the oldest row goes on, its length of 0 leads to its own begin.
    left = jnp.where(lost == 0, 0, length - lost)
    return -ring.size + left, -episodes.elapsed


def refill(capacity: int, rows: dict[str, np.ndarray], first_row: int) -> Episodes:
    """Those of all lanes from the rows of a checkpoint.

    Args:
      capacity: rows of the ring, perhaps more than before.
      rows: fields [S, n] in insertion order: episode, step, terminated and truncated.
      first_row: insertion index of the first of them.
    """
    episode, step = rows["episode"], rows["step"]
    end = rows["terminated"] | rows["truncated"]
    lanes, count = step.shape
    index = np.arange(first_row, first_row + count) % capacity
    filled = Episodes(*np.zeros((3, lanes, capacity), np.int32), *np.zeros((2, lanes), np.int32))
    filled.episode[:, index], filled.step[:, index] = episode, step
    lane, row = np.nonzero(end)
    filled.length[lane, episode[lane, row] % capacity] = step[lane, row] + 1
    last = end[:, -1]
    filled.current[:] = episode[:, -1] + last
    filled.elapsed[:] = np.where(last, 0, step[:, -1] + 1)
    return filled
