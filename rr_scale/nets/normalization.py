"""Layers that normalise activations: by the feature axis, or by the batch."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.core.batch_statistics import follow, renorm_correction
from rr_scale.nets.layers import STATS
from rr_scale.types import Array

_MOMENTUM = 0.99
_EPSILON = 1e-3


class BatchNorm(nn.Module):
    """Batch normalisation, or renormalisation.

    In training x is normalised by the mean and variance over all axes but the
    last; the running ones move by 1 - 0.99 and are what inference uses (Ioffe
    & Szegedy 2015). Renormalisation corrects the batch towards the running
    statistics (Ioffe, "Batch renormalization", 2017) once it has seen
    `renorm_warmup` batches; None never does. Constants as in CrossQ (Bhatt et
    al. 2024): epsilon 1e-3, variance without Bessel's correction.
    """

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
            return (x - mean) / jnp.sqrt(variance + _EPSILON) * scale + bias
        axes = tuple(range(x.ndim - 1))
        batch_mean = jnp.mean(x, axes)
        batch_variance = jnp.mean((x - batch_mean) ** 2, axes)
        deviation = jnp.sqrt(batch_variance + _EPSILON)
        y = (x - batch_mean) / deviation
        if self.renorm_warmup is not None:
            stretch, shift = renorm_correction(
                batch_mean, deviation, mean, jnp.sqrt(variance + _EPSILON)
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


NORMALIZATIONS: dict[str, Callable[[int], Callable[[Array, bool], Array]]] = {
    "none": lambda warmup: _identity(),
    "layer_norm": lambda warmup: FeatureNorm(nn.LayerNorm),
    "rms_norm": lambda warmup: FeatureNorm(nn.RMSNorm),
    "batch_norm": lambda warmup: BatchNorm(),
    "batch_renorm": lambda warmup: BatchNorm(renorm_warmup=warmup),
}
"""`NetworkConfig.normalization` -> (batches of warm-up) -> layer (x, train) -> x."""
