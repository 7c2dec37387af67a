"""Where a lane's randomness comes from: one root key, named streams, counters.

Every random number of a lane is `fold_in(fold_in(root, stream), counter)`. No
generator has a position that something could advance: evaluating more often,
logging, scanning in other chunks or training other lanes beside this one
cannot change what a lane draws, and a checkpoint needs no generator state.
The seeds of simulators, on the host, follow the same rule: `seeds.py`.
"""

from __future__ import annotations

import enum

import jax

from rr_scale.types import Array


class Stream(enum.IntEnum):
    """Device-side uses of randomness. The numbers are part of the results."""

    INIT = 0  # counter: 0
    WARMUP = 1  # counter: env_step
    ACT = 2  # counter: env_step
    REPLAY = 3  # counter: update
    UPDATE = 4  # counter: update
    RESET = 5  # counter: how many resets happened before
    DROPOUT = 6  # counter: update
    SUBSET = 7  # counter: update
    REPEAT = 8  # counter: env_step
    BANDIT = 9  # counter: episodes completed
    ROUTE = 10  # counter: episode
    VALIDATION = 11  # counter: update
    RECYCLE = 12  # counter: how many resets happened before
    DIAGNOSE = 13  # counter: env_step


def root_key(seed: int) -> Array:
    """The key a lane's whole randomness hangs on.

    Threefry always: the hardware generator (`rbg`) gives other numbers under
    `vmap`, so a lane would depend on its neighbours.
    """
    return jax.random.key(seed, impl="threefry2x32")


def stream_key(root: Array, stream: Stream, counter: Array | int) -> Array:
    """The key for one use: `fold_in(fold_in(root, stream), counter)`."""
    return jax.random.fold_in(jax.random.fold_in(root, int(stream)), counter)
