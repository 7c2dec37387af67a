"""Where in a network's parameters its hidden layers are.

Flax names layers by their kind and order. Here stands, per trunk, which of them
lead to the units of a hidden layer and which read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rr_scale.config import NetworkConfig
from rr_scale.nets.heads import HEADS
from rr_scale.nets.kernels import KERNELS
from rr_scale.nets.watched import TRUNK

Path = tuple[str, ...]
"""Names of modules from the network inwards; what lies below belongs to it."""


class HiddenLayer(NamedTuple):
    """The modules around the units of one hidden layer [width]."""

    dense: Path
    """what leads to the units, the last axis [..., width] of its parameters"""
    per_unit: tuple[Path, ...]
    """what normalises or scales them, with one entry [..., width] for each"""
    outgoing: tuple[Path, ...]
    """what reads them, kernels [..., width, outputs]"""


def layout(network: NetworkConfig) -> dict[str, HiddenLayer]:
    """The hidden layers of a network by name, as `Watched` has them.

    The heads of actors and of critics are named for both.
    """
    describe = _LAYOUTS[network.trunk]
    return {name: describe(network, index) for index, name in enumerate(network.layer_names)}


def below(path: Path, module: Path) -> bool:
    """Whether `path` is that of a module or of something in it."""
    return path[: len(module)] == module


def _dense(network: NetworkConfig, index: int) -> Path:
    if network.kernel == "free" or (network.kernel == "spectral_norm" and index == 0):
        return (TRUNK, f"Dense_{index}")
    # Spectral normalisation leaves the first layer alone, so its count begins with the second.
    first = int(network.kernel == "spectral_norm")
    return (TRUNK, f"{KERNELS[network.kernel].__name__}_{index - first}")


def _norm(network: NetworkConfig, index: int) -> tuple[Path, ...]:
    if network.normalization == "none":
        return ()
    kind = "BatchNorm" if network.has_batch_statistics else "FeatureNorm"
    return ((TRUNK, f"{kind}_{index + network.normalize_input}"),)


def _mlp(network: NetworkConfig, index: int) -> HiddenLayer:
    heads = tuple((name,) for name in HEADS)
    last = index + 1 == len(network.hidden)
    outgoing = heads if last else (_dense(network, index + 1),)
    return HiddenLayer(_dense(network, index), _norm(network, index), outgoing)


def _block(norm: Callable[[int], int] | None) -> Callable[[NetworkConfig, int], HiddenLayer]:
    """A dense layer, then blocks of two; the units of block k have normalisation `norm(k)`."""

    def describe(network: NetworkConfig, index: int) -> HiddenLayer:
        inner = 1 + 2 * index
        return HiddenLayer(
            _dense(network, inner),
            () if norm is None else _norm(network, norm(index)),
            (_dense(network, inner + 1),),
        )

    return describe


def _hyperspherical(network: NetworkConfig, index: int) -> HiddenLayer:
    inner = 1 + 2 * index
    return HiddenLayer(
        (TRUNK, f"UnitDense_{inner}"),
        ((TRUNK, f"Scaler_{inner}"),),
        ((TRUNK, f"UnitDense_{inner + 1}"),),
    )


_LAYOUTS: dict[str, Callable[[NetworkConfig, int], HiddenLayer]] = {
    "mlp": _mlp,
    "bronet": _block(lambda block: 1 + 2 * block),
    "simba": _block(None),
    "simba_v2": _hyperspherical,
    "flash": _block(lambda block: 2 * block),
}
"""`NetworkConfig.trunk` -> (network, number of the layer) -> where it is."""
