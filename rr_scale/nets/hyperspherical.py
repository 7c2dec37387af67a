"""SimbaV2: features, and the weights into every unit, live on unit spheres.

Lee et al., "Hyperspherical normalization for scalable deep reinforcement
learning", ICML 2025. The optimiser keeps the columns of every kernel at norm 1
(`optim.py:project_unit_kernels`); features are projected here. Kernels have no
bias and start orthogonal.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.config import NetworkConfig
from rr_scale.core.spheres import unit
from rr_scale.nets.kernels import UnitDense
from rr_scale.nets.layers import ACTIVATIONS
from rr_scale.nets.watched import watch
from rr_scale.types import Array

_EXPANSION = 4
_SHIFT = 3.0
_NEVER_ZERO = 1e-8


def _kernel(width: int) -> UnitDense:
    return UnitDense(width, "orthogonal", 1.0, bias=False)


class Scaler(nn.Module):
    """A vector of factors: starts at `start`, and learns as if it started at `scale`.

    The parameter p starts at `scale`; the factor is p start / scale. An Adam
    step moves p by about the step size, whatever the factor is.
    """

    start: float
    scale: float

    @nn.compact
    def __call__(self, size: int) -> Array:
        factor = self.param("scaler", nn.initializers.constant(self.scale), (size,))
        return factor * (self.start / self.scale)


class SimbaV2(nn.Module):
    """Embedding and residual blocks on the sphere.

    x~ = [x; 3] / |.|, h = (s W x~) / |.|; per block
    h~ = W2 (act(s W1 h) + 1e-8) / |.|, h <- (h + alpha (h~ - h)) / |.|.
    `hidden` has one width per block. The input is expected to be normalised
    (`agent.normalize_observations`).
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        hidden = self.config.hidden
        width, blocks = hidden[0], len(hidden)
        scale = math.sqrt(2.0 / width)
        shift = jnp.full((*x.shape[:-1], 1), _SHIFT, x.dtype)
        x = unit(jnp.concatenate([x, shift], axis=-1))
        h = unit(_kernel(width)(x, train) * Scaler(scale, scale)(width))
        inner_scale = scale / math.sqrt(_EXPANSION)
        for block in range(blocks):
            y = _kernel(_EXPANSION * width)(h, train)
            y = y * Scaler(inner_scale, inner_scale)(y.shape[-1])
            y = ACTIVATIONS[self.config.activation](y)
            watch(self, self.config.layer_names[block], y)
            y = unit(_kernel(width)(y + _NEVER_ZERO, train))
            alpha = Scaler(1.0 / (blocks + 1), 1.0 / math.sqrt(width))(width)
            h = unit(h + alpha * (y - h))
        return h


class HypersphericalHead(nn.Module):
    """W2 (s W1 h) + b: an output layer for features on the sphere."""

    width: int

    @nn.compact
    def __call__(self, h: Array, train: bool) -> Array:
        size = h.shape[-1]
        h = _kernel(size)(h, train) * Scaler(1.0, 1.0)(size)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return _kernel(self.width)(h, train) + bias
