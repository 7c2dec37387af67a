"""Kernel initialisers and activations by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rr_scale.types import Array

INITIALIZERS = {
    # jaxrl: gain sqrt(2) on every dense layer, the critic's output and the
    # mean head included.
    "orthogonal": lambda gain: nn.initializers.orthogonal(gain),
    "xavier_uniform": lambda gain: nn.initializers.xavier_uniform(),
    # U(+-1/sqrt(fan_in)), PyTorch's default for kernels.
    "fan_in_uniform": lambda gain: nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}


def crelu(x: Array) -> Array:
    """relu(x) beside relu(-x): twice the features, none of which can die (Shang et al. 2016)."""
    return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=-1)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "gelu": jax.nn.gelu,
    "swish": jax.nn.swish,
    "crelu": crelu,
}

STATS = "stats"
"""The flax collection of running statistics."""

SQRT2 = math.sqrt(2.0)


def dense(
    width: int, initializer: str, gain: float = SQRT2, bias: bool = True, name: str | None = None
) -> nn.Dense:
    """A dense layer with zero bias or none; `gain` applies to orthogonal kernels."""
    initial = INITIALIZERS[initializer](gain)
    return nn.Dense(width, use_bias=bias, kernel_init=initial, name=name)
