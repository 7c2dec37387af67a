"""What activations, features, parameters and actions say about the health of learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rr_scale.types import Array

DORMANT = 0.025
"""Score at or below which a unit is dormant; Sokar et al. 2023."""

RANK_DELTA = 0.01
"""Share of the singular values that the effective rank may leave out; Kumar et al. 2021."""

SATURATED = 0.99
"""Size beyond which an action in [-1, 1] is saturated."""


def dormant_fraction(activations: Sequence[Array]) -> Array:
    """Share of hidden units that hardly respond to a batch, over all layers together.

    Sokar et al., "The dormant neuron phenomenon in deep reinforcement
    learning", ICML 2023, definition 3.1: the score of a unit is the batch mean
    of |h| divided by the mean of that over its layer. In a layer where nothing
    responds, all units are dormant.

    Args:
      activations: of each layer, at least one [..., B, H].

    Returns:
      [...], from 0 to 1.
    """
    dormant: list[Array] = []
    for layer in activations:
        response = jnp.mean(jnp.abs(layer), axis=-2)
        # Multiplied and not divided: a silent layer has no ratio.
        dormant.append(response <= DORMANT * jnp.mean(response, axis=-1, keepdims=True))
    return jnp.mean(jnp.concatenate(dormant, axis=-1), axis=-1)


def effective_rank(features: Array) -> Array:
    """The least k with sigma_1 + ... + sigma_k >= (1 - delta) sum sigma_i.

    Kumar et al., "Implicit under-parameterization inhibits data-efficient deep
    reinforcement learning", ICLR 2021, section 3: sigma are the singular
    values of the features, largest first, delta is 0.01. At most min(B, D), so
    that numbers of different batch sizes are not comparable.

    The singular values are not taken from eigenvalues of a product: in float32
    their noise would hide ranks below a few per cent of D.

    Args:
      features: [B, D].

    Returns:
      Scalar, a whole number; 0 if all features are 0, NaN if one is not finite.
    """
    chex.assert_rank(features, 2)
    finite = jnp.isfinite(features).all()
    sigma = jnp.linalg.svd(jnp.where(finite, features, 0.0), compute_uv=False)
    before = jnp.cumsum(sigma) - sigma
    rank = jnp.sum(before < (1.0 - RANK_DELTA) * jnp.sum(sigma))
    return jnp.where(finite, rank.astype(jnp.float32), jnp.nan)


def tree_norm(tree: Any) -> Array:
    """Euclidean norm of all numbers of a pytree together."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def saturated_fraction(action: Array) -> Array:
    """Share of the components of actions [..., A] whose size is above 0.99."""
    return jnp.mean(jnp.abs(action) > SATURATED)
