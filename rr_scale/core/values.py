"""What a critic says about the return: one number, probabilities of atoms, or quantiles.

Whatever a critic's K outputs mean, they describe a distribution over returns,
and so do targets: points, and how likely each is. Ensemble rules, the soft
Bellman target and the losses speak of that alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from rr_scale.config import CriticConfig, HyperParams
from rr_scale.types import Array


class Returns(NamedTuple):
    """A distribution over returns.

    Without `mass` all points are equally likely, and the k-th points of two
    critics mean the same thing, so that they can be compared one by one. With
    `mass` the points are common to all critics, and the masses differ.
    """

    points: Array  # [..., M]
    mass: Array | None  # [..., M], sums to 1


class ValueKind(NamedTuple):
    """How K outputs of a critic are read and taught."""

    returns: Callable[[Array], Returns]
    """outputs [..., K] -> distribution over M points"""
    project: Callable[[Returns], Returns]
    """any target -> the nearest one that the outputs can express"""
    loss: Callable[[Array, Returns], Array]
    """(outputs [N, B, K], projected target [B, M]) -> loss [N, B]"""


def mean_return(returns: Returns) -> Array:
    """Expected return [...]."""
    if returns.mass is None:
        return jnp.mean(returns.points, axis=-1)
    return jnp.sum(returns.mass * returns.points, axis=-1)


def output_size(config: CriticConfig) -> int:
    """K, the number of outputs of one critic."""
    sizes = {"scalar": 1, "categorical": config.num_atoms, "quantile": config.num_quantiles}
    return sizes[config.value]


def value_kind(config: CriticConfig, hp: HyperParams) -> ValueKind:
    """The kind that `agent.critic.value` names."""
    if config.value == "categorical":
        return categorical(config.num_atoms, hp.v_min, hp.v_max)
    return quantile() if config.value == "quantile" else scalar(config.loss)


def _squared(delta: Array) -> Array:
    return delta**2


def _huber(delta: Array) -> Array:
    """Linear beyond 1, and half the square before; Fujimoto et al. 2020, section 4.3."""
    size = jnp.abs(delta)
    return jnp.where(size <= 1.0, 0.5 * delta**2, size - 0.5)


LOSSES: dict[str, Callable[[Array], Array]] = {"squared": _squared, "huber": _huber}
"""`agent.critic.loss` -> function of the TD error."""


def scalar(name: str = "squared") -> ValueKind:
    """One output, the expected return; a loss of `LOSSES` to the target's mean."""

    def project(target: Returns) -> Returns:
        return Returns(mean_return(target)[..., None], None)

    def loss(outputs: Array, target: Returns) -> Array:
        _check(outputs, target)
        chex.assert_axis_dimension(target.points, -1, 1)
        return LOSSES[name](outputs[..., 0] - target.points[..., 0])

    return ValueKind(lambda outputs: Returns(outputs, None), project, loss)


def categorical(num_atoms: int, v_min: Array | float, v_max: Array | float) -> ValueKind:
    """Logits over evenly spaced returns; cross-entropy to the projected target.

    Bellemare et al., "A distributional perspective on reinforcement learning",
    ICML 2017 (C51).

    Args:
      num_atoms: K, at least 2.
      v_min, v_max: the first and the last atom.
    """
    width = (v_max - v_min) / (num_atoms - 1)
    atoms = v_min + width * jnp.arange(num_atoms)

    def returns(outputs: Array) -> Returns:
        return Returns(jnp.broadcast_to(atoms, outputs.shape), jax.nn.softmax(outputs))

    def project(target: Returns) -> Returns:
        mass = project_to_atoms(target, num_atoms, v_min, v_max)
        return Returns(jnp.broadcast_to(atoms, mass.shape), mass)

    def loss(outputs: Array, target: Returns) -> Array:
        _check(outputs, target)
        assert target.mass is not None
        chex.assert_equal_shape([outputs[0], target.mass])
        return -jnp.sum(target.mass * jax.nn.log_softmax(outputs), axis=-1)

    return ValueKind(returns, project, loss)


def project_to_atoms(
    target: Returns, num_atoms: int, v_min: Array | float, v_max: Array | float
) -> Array:
    """Shares each point's mass between the two atoms beside it (C51; for one point, two-hot).

    Points beyond the ends count as the ends. An atom takes from a point in
    proportion to 1 - distance / spacing, which needs no special case for a
    point upon an atom: all of its mass stays there.

    Returns:
      Masses [..., K], with the sum of the masses of `target`.
    """
    points = target.points
    mass = jnp.full(points.shape, 1.0 / points.shape[-1]) if target.mass is None else target.mass
    # Positions are clipped, not points: rounding may carry v_max past the last atom.
    position = (points - v_min) * ((num_atoms - 1) / (v_max - v_min))
    position = jnp.clip(position, 0.0, num_atoms - 1.0)
    share = jnp.clip(1.0 - jnp.abs(position[..., None] - jnp.arange(num_atoms)), 0.0, 1.0)
    # A product of matrices, at full precision whatever is set for networks.
    return jnp.einsum("...m,...mk->...k", mass, share, precision=jax.lax.Precision.HIGHEST)


def quantile(kappa: float = 1.0) -> ValueKind:
    """Quantiles at (k + 1/2) / K; quantile Huber loss.

    Dabney et al., "Distributional reinforcement learning with quantile
    regression", AAAI 2018, equation 10: per pair of predicted quantile j and
    target point k, |tau_j - 1(delta < 0)| Huber(delta) / kappa with
    delta = target_k - predicted_j; summed over j, averaged over k.

    Args:
      kappa: where the Huber loss turns linear.
    """

    def loss(outputs: Array, target: Returns) -> Array:
        _check(outputs, target)
        num_quantiles = outputs.shape[-1]
        tau = (jnp.arange(num_quantiles) + 0.5) / num_quantiles
        delta = target.points[..., None, :] - outputs[..., None]
        size = jnp.abs(delta)
        huber = jnp.where(size <= kappa, 0.5 * delta**2, kappa * (size - 0.5 * kappa)) / kappa
        pairs = jnp.abs(tau[:, None] - (delta < 0.0)) * huber
        per_quantile = (
            jnp.mean(pairs, axis=-1)
            if target.mass is None
            else jnp.sum(target.mass[..., None, :] * pairs, axis=-1)
        )
        return jnp.sum(per_quantile, axis=-1)

    return ValueKind(lambda outputs: Returns(outputs, None), lambda target: target, loss)


def _check(outputs: Array, target: Returns) -> None:
    """[B] against [B, 1], or members against samples, would broadcast silently."""
    chex.assert_rank([outputs, target.points], [3, 2])
    chex.assert_equal(outputs.shape[1], target.points.shape[0])
