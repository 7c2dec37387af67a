"""Dual variables: scalars learned so that a constraint holds on average."""

from __future__ import annotations

import jax.numpy as jnp

from rr_scale.types import Array


def temperature_loss(log_alpha: Array, entropy: Array, target_entropy: Array, form: str) -> Array:
    """Raises alpha while the policy's entropy is below its target.

    `alpha`: alpha (H - H_target), jaxrl's form; its gradient is scaled by
    alpha. `log`: log alpha (H - H_target). Both have the same fixed point
    (Haarnoja et al. 2018, equation 18).

    Args:
      log_alpha: scalar, differentiated.
      entropy: scalar, mean of -log pi over the batch; a constant here.
      target_entropy: scalar.
    """
    coefficient = jnp.exp(log_alpha) if form == "alpha" else log_alpha
    return coefficient * (entropy - target_entropy)


LOG_LOW, LOG_HIGH = -10.0, 7.5
"""Bounds of the logarithm of a bounded dual, those of BRO."""


def bounded_value(raw: Array) -> Array:
    """exp(-10 + 17.5 (1 + tanh(raw)) / 2): positive, and never out of hand.

    Nauman et al., "Bigger, regularized, optimistic", NeurIPS 2024, the
    authors' code.
    """
    return jnp.exp(LOG_LOW + 0.5 * (LOG_HIGH - LOG_LOW) * (1.0 + jnp.tanh(raw)))


def raw_of_bounded(value: Array) -> Array:
    """The inverse of `bounded_value`, for values in (e^-10, e^7.5)."""
    share = (jnp.log(value) - LOG_LOW) / (LOG_HIGH - LOG_LOW)
    return jnp.arctanh(2.0 * share - 1.0)


def optimism_loss(raw: Array, kl: Array, target_kl: Array) -> Array:
    """optimism (KL - target): the explorer asks for less where it strays too far.

    Nauman & Cygan, "Decoupled policy actor-critic", 2023; the constant that
    the authors' code subtracts from the optimism has no gradient.

    Args:
      raw: scalar, differentiated; the optimism is its bounded value.
      kl: scalar, mean per action dimension; a constant here.
    """
    return bounded_value(raw) * (kl - target_kl)


def kl_weight_loss(raw: Array, kl: Array, target_kl: Array) -> Array:
    """-weight (KL - target): the KL costs more while it is above its target."""
    return -bounded_value(raw) * (kl - target_kl)


def pessimism_loss(pessimism: Array, error: Array) -> Array:
    """pessimism x error: pessimism rises while targets exceed predictions.

    Cetin & Celiktutan, "Learning pessimism for reinforcement learning", AAAI
    2023 (GPL), in the form of the regularisation study's code.

    Args:
      pessimism: scalar, differentiated.
      error: scalar, mean of prediction - target; a constant here.
    """
    return pessimism * error
