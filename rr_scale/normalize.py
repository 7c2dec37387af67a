"""Running moments of observations, accurate over millions of float32 steps.

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
    mean: Array  # [O]
    mean_low: Array  # [O] lost low bits of mean
    spread: Array  # [O] sum of squared deviations
    spread_low: Array  # [O] lost low bits of spread


def init_moments(size: int) -> Moments:
    """Moments of no data; `standardize` is then the identity."""
    zeros = jnp.zeros(size)
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
