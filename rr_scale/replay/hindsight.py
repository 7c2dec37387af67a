"""Transitions as if another goal had been the desired one.

Andrychowicz et al., "Hindsight experience replay", NeurIPS 2017. Goals are
exchanged when a batch is drawn; what is stored stays as it happened. The new
goal is one that was achieved after a step of the same episode: the goal after
step f, with f uniform from the row's own step on (future), the last (final),
or any (episode). So f may be the row itself, whose reward is then that of a
goal reached; rewards speak of what is achieved after a step.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.core.goals import goal_reward, reached
from rr_scale.core.returns import n_step_window
from rr_scale.replay.episodes import Episodes
from rr_scale.replay.ring import by_age
from rr_scale.replay.rings import AnyRing, next_observation, observation
from rr_scale.types import Array, Batch, GoalSpec


def achieved(goal: GoalSpec, observations: Array) -> Array:
    """The goals [..., G] that are achieved in observations [..., O]."""
    return observations[..., -2 * goal.size : -goal.size]


def with_desired(observations: Array, goals: Array) -> Array:
    """Observations [..., O] in which other goals [..., G] are desired."""
    return jnp.concatenate([observations[..., : -goals.shape[-1]], goals], axis=-1)


def goal_step(strategy: str, key: Array, step: Array, length: Array) -> Array:
    """After which step [B] of its episode the new goal was achieved."""
    first = {"future": step, "episode": jnp.zeros_like(step), "final": length - 1}[strategy]
    return jax.random.randint(key, step.shape, first, length)


def form(
    hp: HyperParams,
    ring: AnyRing,
    episodes: Episodes,
    row: Array,
    key: Array,
    config: ReplayConfig,
    goal: GoalSpec,
) -> Batch:
    """The n-step transitions that begin at the rows [B], most of them relabelled; weight 1.

    Each is relabelled with probability `hp.hindsight_share`. Rewards of all
    its steps are computed from what was achieved and the new goal.

    Args:
      hp: of the lane.
      ring, episodes: of the lane.
      row: indices; of whole episodes.
      key: consumed.
      config: strategy, n, and what ends an episode.
      goal: where goals are in observations, and what they are worth.
    """
    capacity = ring.rows.reward.shape[0]
    chosen, which = jax.random.split(key)
    relabelled = jax.random.uniform(chosen, row.shape) < hp.hindsight_share
    step, length = episodes.step[row], episodes.length[episodes.episode[row] % capacity]
    source = (row - step + goal_step(config.hindsight, which, step, length)) % capacity
    new = achieved(goal, next_observation(ring, source))

    ages = ((row - ring.cursor + ring.size) % capacity)[:, None] + jnp.arange(config.n_step)
    index = by_age(ring, ages)
    then = achieved(goal, next_observation(ring, index))
    reward, terminated = ring.rows.reward[index], ring.rows.terminated[index]
    reward = jnp.where(relabelled[:, None], goal_reward(goal, then, new[:, None]), reward)
    # Beyond either lie rows of another episode, whatever counts as termination below.
    ends = terminated | ring.rows.truncated[index]
    if config.relabel_terminates:
        success = reached(goal, then, new[:, None])
        terminated = jnp.where(relabelled[:, None], success, terminated)
    reward, discount, offset = n_step_window(
        reward, terminated, ends, ages < ring.size, hp.discount
    )
    last = by_age(ring, ages[:, 0] + offset)
    if not config.bootstrap_on_truncation:
        discount = jnp.where(ring.rows.truncated[last], 0.0, discount)

    def seen(observations: Array) -> Array:
        return jnp.where(relabelled[:, None], with_desired(observations, new), observations)

    return Batch(
        observation=seen(observation(ring, row)),
        action=ring.rows.action[row],
        reward=reward,
        discount=discount,
        next_observation=seen(next_observation(ring, last)),
        weight=jnp.ones(row.shape),
    )
