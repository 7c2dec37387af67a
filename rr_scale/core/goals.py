"""Rewards of goal tasks as functions of goals, so that hindsight can compute them anew."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from rr_scale.types import Array, GoalSpec


def distance(achieved: Array, desired: Array) -> Array:
    """Euclidean distance of goals [..., G], [...]."""
    return jnp.sqrt(jnp.sum((achieved - desired) ** 2, axis=-1))


def _sparse(achieved: Array, desired: Array, threshold: float) -> Array:
    return -(distance(achieved, desired) > threshold).astype(jnp.float32)


def _dense(achieved: Array, desired: Array, threshold: float) -> Array:
    return -distance(achieved, desired)


GOAL_REWARDS: dict[str, Callable[[Array, Array, float], Array]] = {
    "sparse": _sparse,
    "dense": _dense,
}
"""Name -> (achieved [..., G], desired [..., G], threshold) -> reward [...]: 0 within the
threshold and -1 beyond it, or minus the distance."""


def goal_reward(goal: GoalSpec, achieved: Array, desired: Array) -> Array:
    """Reward [...] of having achieved [..., G] where [..., G] was desired."""
    return GOAL_REWARDS[goal.reward](achieved, desired, goal.threshold)


def reached(goal: GoalSpec, achieved: Array, desired: Array) -> Array:
    """Whether [...] a goal counts as reached."""
    return distance(achieved, desired) <= goal.threshold
