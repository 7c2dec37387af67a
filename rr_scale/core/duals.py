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
