"""From an ensemble's values to one value per sample."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from rr_scale.types import Array


def _first(values: Array) -> Array:
    return values[0]


AGGREGATES: dict[str, Callable[[Array], Array]] = {
    # Clipped double Q-learning (Fujimoto 2018): the minimum per sample. The
    # minimum of batch means would be another, wrong, algorithm.
    "min": lambda values: jnp.min(values, axis=0),
    "mean": lambda values: jnp.mean(values, axis=0),
    "first": _first,
}
"""Rule name -> function from [N, B] to [B]."""
