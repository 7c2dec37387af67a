"""Kernel initialisers and activations by name."""

from __future__ import annotations

import math

import flax.linen as nn
import jax

INITIALIZERS = {
    # jaxrl: gain sqrt(2) on every dense layer, the critic's output and the
    # mean head included.
    "orthogonal": lambda gain: nn.initializers.orthogonal(gain),
    "xavier_uniform": lambda gain: nn.initializers.xavier_uniform(),
    # U(+-1/sqrt(fan_in)), PyTorch's default for kernels.
    "fan_in_uniform": lambda gain: nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jax.numpy.tanh, "elu": jax.nn.elu}

SQRT2 = math.sqrt(2.0)


def dense(width: int, initializer: str, gain: float = SQRT2, name: str | None = None) -> nn.Dense:
    """A dense layer with zero bias; `gain` applies to orthogonal kernels."""
    return nn.Dense(width, kernel_init=INITIALIZERS[initializer](gain), name=name)
