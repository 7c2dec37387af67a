"""Batches from a ring, inside the compiled update: uniform draws, and what a batch is made of."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.config import ReplayConfig
from rr_scale.core.returns import n_step_window
from rr_scale.replay.ring import by_age
from rr_scale.replay.rings import AnyRing, next_observation, observation
from rr_scale.types import Array, Batch


def sample(ring: AnyRing, key: Array, gamma: Array | float, config: ReplayConfig) -> Batch:
    """Draws transitions with replacement; n-step windows never cross the cursor.

    Args:
      ring: at least one row.
      key: consumed.
      gamma: discount of one step.
      config: batch size B, n, and whether a time limit bootstraps.

    Returns:
      A batch with leading axis B.
    """
    age = jax.random.randint(key, (config.batch_size,), 0, ring.size)
    return form(ring, age, gamma, config)


def form(ring: AnyRing, age: Array, gamma: Array | float, config: ReplayConfig) -> Batch:
    """The n-step transitions that begin at the rows of these ages, with weight 1.

    Args:
      ring: at least one row.
      age: [B], 0 is the oldest row.
      gamma, config: as for `sample`.
    """
    first = by_age(ring, age)
    rows = ring.rows
    if config.n_step == 1:
        reward = rows.reward[first]
        terminated = rows.terminated[first]
        truncated = rows.truncated[first]
        last, discount = first, jnp.where(terminated, 0.0, gamma)
    else:
        # Ages, not indices: an age past the newest row is seen as such,
        # whether the cursor or the end of the filled part lies there.
        ages = age[:, None] + jnp.arange(config.n_step)
        index = by_age(ring, ages)
        reward, discount, offset = n_step_window(
            rows.reward[index],
            rows.terminated[index],
            rows.truncated[index],
            ages < ring.size,
            gamma,
        )
        last = by_age(ring, age + offset)
        truncated = rows.truncated[last]
    if not config.bootstrap_on_truncation:
        discount = jnp.where(truncated, 0.0, discount)
    return Batch(
        observation=observation(ring, first),
        action=rows.action[first],
        reward=reward,
        discount=discount,
        next_observation=next_observation(ring, last),
        weight=jnp.ones(config.batch_size),
    )
