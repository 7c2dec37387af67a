"""The tanh-squashed diagonal Gaussian policy of SAC.

Haarnoja et al. 2018, appendix C: u ~ N(mean, sigma^2), a = tanh(u),
log pi(a|s) = sum_j [log N(u_j) - log(1 - tanh(u_j)^2)].
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from rr_scale.types import Array

_LOG_SQRT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def bound_log_sigma(raw: Array, low: float, high: float, mapping: str) -> Array:
    """Brings the network's output into [low, high].

    The two mappings are not interchangeable: at raw = 0 `tanh` gives the
    middle of the range (-4 for [-10, 2]), `clip` gives 0, so the initial
    policies and the gradients at the bounds differ.
    """
    if mapping == "tanh":
        return low + 0.5 * (high - low) * (1.0 + jnp.tanh(raw))
    return jnp.clip(raw, low, high)


def log_det_tanh(u: Array, form: str) -> Array:
    """log(1 - tanh(u)^2), elementwise.

    `stable` is exact: 2 (log 2 - u - softplus(-2u)). `epsilon` is
    log(1 - tanh(u)^2 + 1e-6) as in older code, which saturates near -13.8.
    """
    if form == "stable":
        return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
    return jnp.log(1.0 - jnp.tanh(u) ** 2 + 1e-6)


def tanh_gaussian_log_prob(u: Array, mean: Array, log_sigma: Array, form: str = "stable") -> Array:
    """log pi(tanh(u)) from the pre-squash sample.

    Takes u and not the action: a saturated float32 action has lost u.

    Args:
      u, mean, log_sigma: [..., A].
      form: see `log_det_tanh`.

    Returns:
      [...], summed over action dimensions.
    """
    normalized = (u - mean) * jnp.exp(-log_sigma)
    gaussian = -0.5 * normalized**2 - log_sigma - _LOG_SQRT_TWO_PI
    return jnp.sum(gaussian - log_det_tanh(u, form), axis=-1)


def sample_tanh_gaussian(
    key: Array, mean: Array, log_sigma: Array, form: str = "stable"
) -> tuple[Array, Array]:
    """Reparameterised sample: (action [..., A], log-probability [...])."""
    u = mean + jnp.exp(log_sigma) * jax.random.normal(key, mean.shape, mean.dtype)
    return jnp.tanh(u), tanh_gaussian_log_prob(u, mean, log_sigma, form)


def tanh_gaussian_entropy(mean: Array, log_sigma: Array, form: str = "stable") -> Array:
    """Entropy of the squashed Gaussian, without drawing from it.

    That of the Gaussian plus the mean of log(1 - tanh(u)^2), the latter over
    64 equally likely values of u per dimension.

    Args:
      mean, log_sigma: [..., A].
      form: see `log_det_tanh`.

    Returns:
      [...], nats.
    """
    normal = jax.scipy.special.ndtri((jnp.arange(64) + 0.5) / 64)
    u = mean[..., None] + jnp.exp(log_sigma)[..., None] * normal
    gaussian = 0.5 + _LOG_SQRT_TWO_PI + log_sigma
    return jnp.sum(gaussian + jnp.mean(log_det_tanh(u, form), axis=-1), axis=-1)


def gaussian_kl(mean: Array, log_sigma: Array, mean_of: Array, log_sigma_of: Array) -> Array:
    """KL(N(mean, sigma^2) || N(mean_of, sigma_of^2)), diagonal, summed over dimensions.

    Equal to that of the squashed distributions, since tanh is a bijection.
    With one sigma it is sum (mean - mean_of)^2 / (2 sigma^2).

    Args:
      mean, log_sigma, mean_of, log_sigma_of: [..., A].

    Returns:
      [...].
    """
    log_ratio = log_sigma - log_sigma_of
    distance = (mean - mean_of) * jnp.exp(-log_sigma_of)
    return jnp.sum(0.5 * (jnp.exp(2.0 * log_ratio) + distance**2 - 1.0) - log_ratio, axis=-1)
