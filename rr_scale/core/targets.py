"""Regression targets of the critics, and the critic loss."""

from __future__ import annotations

import chex
import jax.numpy as jnp

from rr_scale.types import Array


def soft_td_target(
    reward: Array, discount: Array, next_value: Array, next_log_prob: Array, alpha: Array | float
) -> Array:
    """y = r + d (V' - alpha log pi(a'|s')), the soft Bellman target.

    Haarnoja et al. 2018, equation 3; with alpha = 0 the target of TD3
    (Fujimoto 2018, equation 9) and DDPG. The entropy bonus belongs to the
    next state, so the discount (0 after termination) multiplies it too.

    Args:
      reward, discount, next_value, next_log_prob: [B]. `discount` is
        gamma^n_eff * (1 - terminated).

    Returns:
      [B].
    """
    chex.assert_rank([reward, discount, next_value, next_log_prob], 1)
    chex.assert_equal_shape([reward, discount, next_value, next_log_prob])
    return reward + discount * (next_value - alpha * next_log_prob)


def critic_loss(q: Array, target: Array, weight: Array, scale: Array | float) -> Array:
    """scale * sum over members of the weighted batch mean of (Q_i - y)^2.

    Args:
      q: [N, B].
      target, weight: [B].

    Returns:
      Scalar.
    """
    chex.assert_rank([q, target, weight], [2, 1, 1])
    chex.assert_equal_shape([q[0], target, weight])
    return scale * jnp.sum(jnp.mean(weight * (q - target) ** 2, axis=1))


def actor_loss(value: Array, log_prob: Array, alpha: Array | float) -> Array:
    """mean[alpha log pi(a|s) - Q(s, a)], a reparameterised.

    Haarnoja et al. 2018, equation 7; with alpha = 0 the deterministic policy
    gradient (Silver 2014).
    """
    chex.assert_rank([value, log_prob], 1)
    chex.assert_equal_shape([value, log_prob])
    return jnp.mean(alpha * log_prob - value)


def smoothing_noise(normal: Array, sigma: Array, clip: Array) -> Array:
    """Target policy smoothing: clip(sigma * normal, -clip, clip).

    Fujimoto 2018, equation 14; in units of the action range [-1, 1].
    """
    return jnp.clip(sigma * normal, -clip, clip)
