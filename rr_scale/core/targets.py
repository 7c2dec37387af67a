"""Regression targets of the critics, and the critic loss."""

from __future__ import annotations

import chex
import jax.numpy as jnp

from rr_scale.types import Array


def soft_td_target(
    reward: Array, discount: Array, next_points: Array, next_log_prob: Array, alpha: Array | float
) -> Array:
    """y = r + d (Z' - alpha log pi(a'|s')), the soft Bellman target, point by point.

    Haarnoja et al. 2018, equation 3; with alpha = 0 the target of TD3
    (Fujimoto 2018, equation 9) and DDPG. The entropy bonus belongs to the
    next state, so the discount (0 after termination) multiplies it too. Every
    point of a distribution over returns is moved alike.

    Args:
      reward, discount, next_log_prob: [B]. `discount` is
        gamma^n_eff * (1 - terminated).
      next_points: [B, M]; M is 1 where only the mean is known.

    Returns:
      [B, M].
    """
    chex.assert_rank([reward, discount, next_log_prob, next_points], [1, 1, 1, 2])
    chex.assert_equal_shape([reward, discount, next_log_prob, next_points[:, 0]])
    bonus = alpha * next_log_prob
    return reward[:, None] + discount[:, None] * (next_points - bonus[:, None])


def critic_loss(losses: Array, weight: Array, scale: Array | float) -> Array:
    """scale * sum over members of the weighted batch mean.

    Args:
      losses: [N, B], of each member on each sample.
      weight: [B].

    Returns:
      Scalar.
    """
    chex.assert_rank([losses, weight], [2, 1])
    chex.assert_equal_shape([losses[0], weight])
    return scale * jnp.sum(jnp.mean(weight * losses, axis=1))


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
