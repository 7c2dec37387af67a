"""n-step returns from a window of one-step rows."""

from __future__ import annotations

import jax.numpy as jnp

from rr_scale.types import Array


def n_step_window(
    reward: Array, terminated: Array, truncated: Array, available: Array, gamma: Array | float
) -> tuple[Array, Array, Array]:
    """Sums rewards up to the end of the window, the episode or the data.

    R = sum_{k < n_eff} gamma^k r_k and the factor gamma^n_eff (1 - terminated)
    of the bootstrap, where n_eff stops at the first terminated or truncated
    step (inclusive) and before the first row that is not available. A window
    cut short by truncation or by the newest row bootstraps from there with the
    smaller power of gamma. Off-policy corrections are not applied, and with
    SAC the entropy of intermediate steps is ignored, as is usual.

    Args:
      reward, terminated, truncated: [..., n] rows in time order.
      available: [..., n] whether the row exists and is newer than its
        predecessor; the first one must be.
      gamma: scalar.

    Returns:
      (return [...], discount [...], index of the last row used [...]).
    """
    done = terminated | truncated
    ended_before = jnp.cumsum(done, axis=-1) - done > 0
    used = available & ~ended_before
    # A gap ends the window for good, even if later rows are available again.
    used = jnp.cumprod(used, axis=-1).astype(bool)
    steps = jnp.arange(reward.shape[-1])
    total = jnp.sum(jnp.where(used, gamma**steps * reward, 0.0), axis=-1)
    count = jnp.sum(used, axis=-1)
    last = count - 1
    ended = jnp.take_along_axis(terminated, last[..., None], axis=-1)[..., 0]
    return total, jnp.where(ended, 0.0, gamma**count), last
