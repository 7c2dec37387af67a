"""Dense layers whose kernels are bound: in norm, per column or as a whole.

All compute x W + b and differ in where W comes from.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rr_scale.core.spheres import UNIT_KERNEL, unit_columns
from rr_scale.nets.layers import INITIALIZERS, SQRT2, STATS
from rr_scale.types import Array

_TINY = 1e-12


class _Dense(nn.Module):
    """What the layers below share: a kernel in some form, and a bias or none."""

    width: int
    initializer: str
    gain: float = SQRT2
    bias: bool = True

    def _initial(self, key: Array, shape: tuple[int, int]) -> Array:
        return INITIALIZERS[self.initializer](self.gain)(key, shape)

    def _outputs(self, x: Array, kernel: Array) -> Array:
        y = x @ kernel
        return y + self.param("bias", nn.initializers.zeros, (self.width,)) if self.bias else y


class UnitDense(_Dense):
    """Every column of W, one unit's incoming weights, has Euclidean norm 1.

    The layer only starts so; the optimiser projects after every step whatever
    is named `unit_kernel` (`optim.py:project_unit_kernels`), which keeps the
    effective step size of scale-invariant weights (Lyle et al., "Normalization
    and effective learning rates in reinforcement learning", 2024).
    """

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        def initial(key: Array, shape: tuple[int, int]) -> Array:
            return unit_columns(self._initial(key, shape))

        return self._outputs(x, self.param(UNIT_KERNEL, initial, (x.shape[-1], self.width)))


class WeightNormDense(_Dense):
    """W = g v / |v| per column, with length g and direction v learned apart.

    Salimans & Kingma, "Weight normalization", 2016, equation 2, without their
    initialisation from data: W starts as a free kernel would.
    """

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        direction = self.param("direction", self._initial, (x.shape[-1], self.width))
        length = self.param("length", lambda key: jnp.linalg.norm(direction, axis=0))
        return self._outputs(x, length * unit_columns(direction))


class SpectralNormDense(_Dense):
    """W / sigma(W): the largest singular value is 1, up to the power iteration.

    Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, algorithm 1: every pass does one step of power iteration from the
    vector in the statistics, and training passes keep the result. The
    gradient flows through sigma, not through the vectors.
    """

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        kernel = self.param("kernel", self._initial, (x.shape[-1], self.width))

        def initial() -> Array:
            return jax.random.normal(self.make_rng("params"), (self.width,))

        output_vector = self.variable(STATS, "output_vector", initial)
        constant = jax.lax.stop_gradient(kernel)
        left = _direction(constant @ output_vector.value)
        right = _direction(left @ constant)
        if train:
            output_vector.value = right
        return self._outputs(x, kernel / (left @ kernel @ right))


def _direction(vector: Array) -> Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), _TINY)


KERNELS: dict[str, Callable[..., _Dense]] = {
    "unit_norm": UnitDense,
    "weight_norm": WeightNormDense,
    "spectral_norm": SpectralNormDense,
}
"""`NetworkConfig.kernel` -> layer (x, train) -> x; a free kernel is `layers.py:dense`."""
