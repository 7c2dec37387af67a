"""Rows as environments make them: a row begins where the one before it stopped."""

from __future__ import annotations

import jax
import numpy as np

from helpers import ACTION_SIZE, OBSERVATION_SIZE
from rr_scale.types import Transition


def episodes(steps, lengths, seed=0, jump=0.0):
    """Rows [T, ...] of a lane; lengths of episodes are drawn from `lengths`.

    With probability `jump` a row does not begin where the one before it
    stopped, although no episode ended.
    """
    rng = np.random.default_rng(seed)
    rows, left, now = [], rng.choice(lengths), rng.normal(size=OBSERVATION_SIZE)
    for _ in range(steps):
        left -= 1
        then = rng.normal(size=OBSERVATION_SIZE)
        terminated = left == 0 and rng.uniform() < 0.5
        ends = (terminated, left == 0 and not terminated)
        rows.append((now, rng.uniform(-1, 1, ACTION_SIZE), rng.normal(), *ends, then))
        now = rng.normal(size=OBSERVATION_SIZE) if left == 0 or rng.uniform() < jump else then
        left = left or rng.choice(lengths)
    columns = Transition(*map(np.array, zip(*rows, strict=True)))
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, columns)


def lanes_of(steps, lanes, lengths, **more):
    """The same [T, S, ...]."""
    each = [episodes(steps, lengths, seed, **more) for seed in range(lanes)]
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *each)
