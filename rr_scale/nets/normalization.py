"""Layers that normalise activations: by the feature axis, or by the batch."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.config import NetworkConfig
from rr_scale.core.batch_statistics import follow, renorm_correction
from rr_scale.nets.layers import STATS
from rr_scale.types import Array

_MOMENTUM = 0.99


class BatchNorm(nn.Module):
    """Batch normalisation, or renormalisation.

    In training x is normalised by the mean and variance over all axes but the
    last; the running ones move by 1 - 0.99 and are what inference uses (Ioffe
    & Szegedy 2015). Renormalisation corrects the batch towards the running
    statistics (Ioffe, "Batch renormalization", 2017) once it has seen
    `renorm_warmup` batches; None never does. As in CrossQ (Bhatt et al. 2024)
    the variance is without Bessel's correction.
    """

    epsilon: float
    renorm_warmup: int | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        size = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, size)
        bias = self.param("bias", nn.initializers.zeros, size)
        running_mean = self.variable(STATS, "running_mean", jnp.zeros, size)
        running_variance = self.variable(STATS, "running_variance", jnp.ones, size)
        batches = self.variable(STATS, "batches", jnp.zeros, (), jnp.int32)
        mean, variance = running_mean.value, running_variance.value
        if not train:
            return (x - mean) / jnp.sqrt(variance + self.epsilon) * scale + bias
        axes = tuple(range(x.ndim - 1))
        batch_mean = jnp.mean(x, axes)
        batch_variance = jnp.mean((x - batch_mean) ** 2, axes)
        deviation = jnp.sqrt(batch_variance + self.epsilon)
        y = (x - batch_mean) / deviation
        if self.renorm_warmup is not None:
            stretch, shift = renorm_correction(
                batch_mean, deviation, mean, jnp.sqrt(variance + self.epsilon)
            )
            corrected = batches.value >= self.renorm_warmup
            y = jnp.where(corrected, y * stretch + shift, y)
        running_mean.value = follow(mean, batch_mean, _MOMENTUM)
        running_variance.value = follow(variance, batch_variance, _MOMENTUM)
        batches.value = batches.value + 1
        return y * scale + bias


class FeatureNorm(nn.Module):
    """Normalisation of each sample over its features; the same in training and inference."""

    kind: type[nn.Module]

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        return self.kind()(x)


def _identity() -> Callable[[Array, bool], Array]:
    return lambda x, train: x


NORMALIZATIONS: dict[str, Callable[[NetworkConfig], Callable[[Array, bool], Array]]] = {
    "none": lambda network: _identity(),
    "layer_norm": lambda network: FeatureNorm(nn.LayerNorm),
    "rms_norm": lambda network: FeatureNorm(nn.RMSNorm),
    "batch_norm": lambda network: BatchNorm(network.batch_epsilon),
    "batch_renorm": lambda network: BatchNorm(network.batch_epsilon, network.renorm_warmup),
}
"""`NetworkConfig.normalization` -> (network) -> layer (x, train) -> x."""
