"""The bandit of TOP: two arms, told how much better the episode went than the one before.

Moskovitz et al., "Tactical optimism and pessimism for deep reinforcement
learning", NeurIPS 2021, with the feedback of the code of Nauman et al.,
"Overestimation, overfitting, and plasticity in actor-critic", ICML 2024.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.types import Array

WINDOW = 5  # differences that feedback is standardised with
DECAY, STEP = 0.9, 0.1


class Bandit(NamedTuple):
    """What the bandit of one lane knows."""

    weights: Array  # [2] preference for each arm
    arm: Array  # [] int32, the one being played
    running: Array  # [] undiscounted return of the episode so far
    previous: Array  # [] return of the episode before, 0 at first
    window: Array  # [WINDOW] newest differences, in a ring
    episodes: Array  # [] int32, finished


def init_bandit() -> Bandit:
    """No preference; arm 1, the pessimistic one, until an episode has ended."""
    zero, none = jnp.zeros(()), jnp.zeros((), jnp.int32)
    return Bandit(jnp.zeros(2), none + 1, zero, zero, jnp.zeros(WINDOW), none)


def update_bandit(bandit: Bandit, key: Array, reward: Array, episode_end: Array) -> Bandit:
    """Adds a reward; at the end of an episode learns, and draws the next arm.

    The feedback f is the difference to the episode before, standardised over
    the newest five differences, itself included: 0 for the first, whose window
    has one entry. Then, for the arm that was played,
    w <- 0.9 w; w <- w + 0.1 f / max(exp(w), 1e-4).

    Args:
      bandit: of one lane.
      key: for the draw, a new one per episode.
      reward: [].
      episode_end: [] bool.
    """
    total = bandit.running + reward
    difference = total - bandit.previous
    window = bandit.window.at[bandit.episodes % WINDOW].set(difference)
    filled = jnp.arange(WINDOW) <= bandit.episodes
    count = jnp.sum(filled)
    mean = jnp.sum(jnp.where(filled, window, 0.0)) / count
    variance = jnp.sum(jnp.where(filled, (window - mean) ** 2, 0.0)) / count
    deviation = jnp.where(count > 1, jnp.sqrt(variance), 1.0)
    feedback = (difference - mean) / (deviation + 1e-4)

    decayed = DECAY * bandit.weights[bandit.arm]
    learned = decayed + STEP * feedback / jnp.maximum(jnp.exp(decayed), 1e-4)
    weights = bandit.weights.at[bandit.arm].set(learned)
    arm = jax.random.categorical(key, weights).astype(jnp.int32)
    ended = Bandit(weights, arm, jnp.zeros(()), total, window, bandit.episodes + 1)
    going_on = bandit._replace(running=total)
    return jax.tree.map(lambda a, b: jnp.where(episode_end, a, b), ended, going_on)
