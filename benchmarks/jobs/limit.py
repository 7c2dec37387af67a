"""How fast the devices multiply matrices: float32 products, one after another on each device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def measure(size: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Rates of a [size, size] product, all devices at once.

    Args:
      size: rows of the matrices.
      seconds: least duration of a repeat.
      repeats: how many.

    Returns:
      flops_per_s: precision -> one rate per repeat; `in force` is the
        precision that training uses, `highest` (on accelerators) full float32.
      devices: how many took part.
    """
    precisions = {"in force": None}
    if jax.devices()[0].platform != "cpu":
        precisions["highest"] = "highest"
    devices = jax.devices()
    # Entries of this size keep repeated products near one.
    values = np.random.default_rng(0).normal(size=(size, size)) / math.sqrt(size)
    matrices = [jax.device_put(values.astype(np.float32), device) for device in devices]
    rates = {
        name: _rates(_chain(precision), matrices, size, seconds, repeats)
        for name, precision in precisions.items()
    }
    return {"flops_per_s": rates, "devices": len(devices)}


def _chain(precision: str | None) -> Callable[[jax.Array, int], jax.Array]:
    @jax.jit
    def chain(matrix: jax.Array, products: int) -> jax.Array:
        def multiply(_: int, product: jax.Array) -> jax.Array:
            return jnp.matmul(product, matrix, precision=precision)

        return jax.lax.fori_loop(0, products, multiply, matrix)

    return chain


def _rates(
    chain: Callable[[jax.Array, int], jax.Array],
    matrices: list[jax.Array],
    size: int,
    seconds: float,
    repeats: int,
) -> list[float]:
    def timed(products: int) -> float:
        begun = time.perf_counter()
        jax.block_until_ready([chain(matrix, products) for matrix in matrices])
        return time.perf_counter() - begun

    timed(1)
    products = 1
    while (elapsed := timed(products)) < seconds / 2:
        products *= 2
    products = max(1, math.ceil(products * seconds / elapsed))
    work = 2 * size**3 * products * len(matrices)
    return [work / timed(products) for _ in range(repeats)]
