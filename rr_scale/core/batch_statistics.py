"""Running statistics of batches, and how renormalisation uses them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.types import Array

_MOST_STRETCH = 3.0
_MOST_SHIFT = 5.0


def follow(running: Array, batch: Array, momentum: float) -> Array:
    """momentum x running + (1 - momentum) x batch."""
    return momentum * running + (1.0 - momentum) * batch


def renorm_correction(
    mean: Array, deviation: Array, running_mean: Array, running_deviation: Array
) -> tuple[Array, Array]:
    """The r and d of batch renormalisation: y = (x - mean) / deviation * r + d.

    Ioffe 2017: r = deviation / running deviation, d = (mean - running mean) /
    running deviation; both are constants of the gradient, r within [1/3, 3]
    and d within [-5, 5]. Unclipped, y would be the inference output.

    Args:
      mean, deviation: of the batch [...].
      running_mean, running_deviation: [...].

    Returns:
      (r [...], d [...]).
    """
    stretch = jnp.clip(deviation / running_deviation, 1.0 / _MOST_STRETCH, _MOST_STRETCH)
    shift = jnp.clip((mean - running_mean) / running_deviation, -_MOST_SHIFT, _MOST_SHIFT)
    return jax.lax.stop_gradient(stretch), jax.lax.stop_gradient(shift)
