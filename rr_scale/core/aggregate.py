"""From an ensemble's distributions over returns to one, per sample.

A rule acts along the ensemble axis alone: the minimum of batch means, say,
would be another algorithm than the minimum per sample.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rr_scale.core.values import Returns, mean_return
from rr_scale.types import Array

Rule = Callable[[Returns, "Array | float", int], Returns]
"""(members [N, B, M], pessimism, dropped points per member) -> [B, M']"""


def _first(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    return jax.tree.map(lambda x: x[0], members)


def _min(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """Clipped double Q-learning (Fujimoto et al. 2018), point by point."""
    return Returns(jnp.min(members.points, axis=0), None)


def _mean(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """Point by point: of quantiles, the mean quantile function."""
    return Returns(jnp.mean(members.points, axis=0), None)


def _pessimistic(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """mean - pessimism x spread, point by point (spread: see `spread`).

    For two critics pessimism 1 is the minimum, 0 the mean and -1 the maximum.
    Where members share their points, the mixture is moved by the spread of
    the members' means.
    """
    if members.mass is None:
        points = members.points
        return Returns(jnp.mean(points, axis=0) - pessimism * spread(points), None)
    shift = pessimism * spread(mean_return(members))
    return Returns(members.points[0] - shift[:, None], jnp.mean(members.mass, axis=0))


def _smaller_mean(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """The whole distribution of the member that expects least, per sample."""
    chosen = jnp.argmin(mean_return(members), axis=0)[None, :, None]
    return jax.tree.map(lambda x: jnp.take_along_axis(x, chosen, axis=0)[0], members)


def _mixture(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """A member picked at random: the mean of probabilities, or all points pooled."""
    if members.mass is not None:
        return Returns(members.points[0], jnp.mean(members.mass, axis=0))
    return Returns(_pooled(members.points), None)


def _truncated(members: Returns, pessimism: Array | float, dropped: int) -> Returns:
    """Pooled points without the largest (Kuznetsov et al., TQC, ICML 2020, section 4)."""
    pooled = jnp.sort(_pooled(members.points), axis=-1)
    return Returns(pooled[:, : pooled.shape[-1] - dropped * len(members.points)], None)


def _pooled(points: Array) -> Array:
    """[N, B, M] -> [B, N M]."""
    return jnp.moveaxis(points, 0, 1).reshape(points.shape[1], -1)


def spread(values: Array) -> Array:
    """Population standard deviation over the ensemble axis, the first one.

    For two members that is half their distance. Its gradient is 0 where all
    members agree, where the root's would not be finite.
    """
    if len(values) == 2:
        difference = values[0] - values[1]
        return 0.5 * difference * jnp.sign(difference)
    variance = jnp.var(values, axis=0)
    agree = variance <= 0.0
    return jnp.where(agree, 0.0, jnp.sqrt(jnp.where(agree, 1.0, variance)))


def random_members(key: Array, members: Returns, size: int) -> Returns:
    """`size` different members, the same ones for the whole batch.

    Chen et al., "Randomized ensembled double Q-learning", ICLR 2021: one
    subset per update. A subset per sample would be another algorithm.

    Args:
      key: consumed.
      members: [N, B, M].
      size: at most N.
    """
    chosen = jax.random.permutation(key, len(members.points))[:size]
    return jax.tree.map(lambda x: x[chosen], members)


AGGREGATES: dict[str, Rule] = {
    "min": _min,
    "mean": _mean,
    "first": _first,
    "pessimistic": _pessimistic,
    "smaller_mean": _smaller_mean,
    "mixture": _mixture,
    "truncated": _truncated,
}
"""Rule by name."""
