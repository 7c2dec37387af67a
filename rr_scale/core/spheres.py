"""Vectors and kernels of Euclidean norm 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.types import Array

UNIT_KERNEL = "unit_kernel"
"""Name of every kernel [..., inputs, outputs] whose columns are kept at norm 1."""

_TINY = 1e-16


def unit(x: Array, axis: int = -1) -> Array:
    """x / |x| along an axis; zero stays zero, with a finite gradient."""
    square = jnp.sum(x**2, axis=axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, _TINY))


def unit_columns(kernel: Array) -> Array:
    """A kernel [..., inputs, outputs] with every column, the weights into one unit, at norm 1."""
    return unit(kernel, axis=-2)
