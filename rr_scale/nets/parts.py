"""Layers as a `NetworkConfig` asks for them; what trunks are built from.

Every part is a function (x, train) -> x. Called inside a module's `__call__`,
so that parameters get the names of their layers there.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn

from rr_scale.config import NetworkConfig
from rr_scale.nets.kernels import KERNELS
from rr_scale.nets.layers import ACTIVATIONS, SQRT2, dense
from rr_scale.nets.normalization import NORMALIZATIONS
from rr_scale.types import Array

Part = Callable[[Array, bool], Array]


def linear(network: NetworkConfig, width: int, *, first: bool = False, gain: float = SQRT2) -> Part:
    """A dense layer of a trunk.

    Args:
      network: says how its kernel is bound, and whether it has a bias.
      width: units.
      first: whether it sees the input. Spectral normalisation leaves that
        layer alone, or no function of the input could be steep.
      gain: of an orthogonal kernel.
    """
    kind = network.kernel
    if kind == "free" or (kind == "spectral_norm" and first):
        layer = dense(width, network.initializer, gain, network.bias)
        return lambda x, train: layer(x)
    return KERNELS[kind](width, network.initializer, gain, network.bias)


def normalized(network: NetworkConfig) -> Part:
    """The normalisation layer, which may be none."""
    return NORMALIZATIONS[network.normalization](network)


def activated(network: NetworkConfig) -> Callable[[Array], Array]:
    """The activation."""
    return ACTIVATIONS[network.activation]


def dropped(network: NetworkConfig, module: nn.Module) -> Callable[[Array], Array]:
    """Dropout, on while the pass of `module` has a key for it (Srivastava et al. 2014)."""
    if not network.dropout or not module.has_rng("dropout"):
        return lambda x: x
    return nn.Dropout(network.dropout, deterministic=False)
