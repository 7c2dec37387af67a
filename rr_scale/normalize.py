"""Running moments of observations and returns, accurate over millions of float32 steps.

A plain float32 running mean stops moving once 1/n of a step falls below the
last bit of the sum. The sums here carry the bits that rounding loses
(Neumaier's compensation), so that they stay close to a float64 pass; a test
compares the two over a long run.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from rr_scale.types import Array


class Moments(NamedTuple):
    """Welford's running mean and sum of squared deviations, compensated."""

    seen: Array  # [] int32, observations so far
    mean: Array  # [O]; [] for moments of a scalar, and so below
    mean_low: Array  # [O] lost low bits of mean
    spread: Array  # [O] sum of squared deviations
    spread_low: Array  # [O] lost low bits of spread


def init_moments(shape: int | tuple[int, ...]) -> Moments:
    """Moments of no data; `standardize` is then the identity."""
    zeros = jnp.zeros(shape)
    return Moments(jnp.zeros((), jnp.int32), zeros, zeros, zeros, zeros)


def _add(high: Array, low: Array, term: Array) -> tuple[Array, Array]:
    """Adds `term` to the unevaluated sum high + low without losing its bits."""
    total = high + term
    big, small = (
        jnp.where(jnp.abs(high) >= jnp.abs(term), high, term),
        jnp.where(jnp.abs(high) >= jnp.abs(term), term, high),
    )
    low = low + ((big - total) + small)
    # Fold the compensation in, so that `high` alone is the best float32 value.
    folded = total + low
    return folded, low - (folded - total)


def update_moments(moments: Moments, observation: Array) -> Moments:
    """Adds one observation [O] (Welford 1962)."""
    count = moments.seen + 1
    before = (observation - moments.mean) - moments.mean_low
    mean, mean_low = _add(moments.mean, moments.mean_low, before / count)
    after = (observation - mean) - mean_low
    spread, spread_low = _add(moments.spread, moments.spread_low, before * after)
    return Moments(count, mean, mean_low, spread, spread_low)


def standardize(moments: Moments, observation: Array) -> Array:
    """(x - mean) / sqrt(variance + 1e-8), for x [..., O]; identity before two observations."""
    variance = moments.spread / jnp.maximum(moments.seen, 1)
    known = moments.seen > 1
    scaled = ((observation - moments.mean) - moments.mean_low) / jnp.sqrt(variance + 1e-8)
    return jnp.where(known, scaled, observation)


class RewardScale(NamedTuple):
    """What is known about the size of returns, from rewards seen while acting."""

    running: Array  # [] discounted sum of this episode's rewards so far, G
    largest: Array  # [] largest |G| ever
    moments: Moments  # of G, over all steps


def init_reward_scale() -> RewardScale:
    """Of no data; rewards are then left as they are."""
    return RewardScale(jnp.zeros(()), jnp.zeros(()), init_moments(()))


def update_reward_scale(
    scale: RewardScale, reward: Array, gamma: Array, episode_end: Array
) -> RewardScale:
    """G <- gamma G + r, counted, and 0 after the last step of an episode.

    Lee et al., "Hyperspherical normalization for scalable deep reinforcement
    learning" (SimbaV2), 2025, section 4.4. Deviation: their code forgets G
    one step early, so that an episode begins with the last reward of the one
    before it.
    """
    running = gamma * scale.running + reward
    return RewardScale(
        jnp.where(episode_end, 0.0, running),
        jnp.maximum(scale.largest, jnp.abs(running)),
        update_moments(scale.moments, running),
    )


def _deviation(scale: RewardScale, epsilon: float) -> Array:
    return jnp.sqrt(scale.moments.spread / jnp.maximum(scale.moments.seen, 1) + epsilon)


def _return_std(scale: RewardScale, bound: Array) -> Array:
    """XQC (Palenicek et al. 2025): the standard deviation of G."""
    return _deviation(scale, 0.0) + 1e-8


def _return_bound(scale: RewardScale, bound: Array) -> Array:
    """SimbaV2: as much again as it takes to keep the largest |G| within `bound`."""
    return jnp.maximum(_deviation(scale, 1e-8), scale.largest / bound)


REWARD_DIVISORS = {"return_std": _return_std, "return_bound": _return_bound}
"""Name -> (scale, bound of returns) -> what rewards are divided by."""


def scale_reward(name: str, scale: RewardScale, bound: Array, reward: Array) -> Array:
    """Rewards as the critics see them; not centred; unchanged before two steps were seen."""
    return jnp.where(scale.moments.seen > 1, reward / REWARD_DIVISORS[name](scale, bound), reward)
