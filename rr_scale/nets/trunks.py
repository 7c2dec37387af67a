"""Architectures between input and head: (x [..., I], train) -> [..., features]."""

from __future__ import annotations

import flax.linen as nn

from rr_scale.config import NetworkConfig
from rr_scale.nets.hyperspherical import SimbaV2
from rr_scale.nets.normalization import NORMALIZATIONS
from rr_scale.nets.parts import activated, dropped, linear, normalized
from rr_scale.nets.watched import watch
from rr_scale.types import Array

_EXPANSION = 4


class MLP(nn.Module):
    """Dense layers, each followed by the activation.

    Around the activation, where the configuration has them: dropout, then
    normalisation, as in DroQ (Hiraoka et al. 2022); or the activation first
    and normalisation after it, as in CrossQ (Bhatt et al. 2024).
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config = self.config
        if config.normalize_input:
            x = normalized(config)(x, train)
        for index, width in enumerate(config.hidden):
            x = linear(config, width, first=index == 0)(x, train)
            x = dropped(config, self)(x)
            if not config.normalize_after_activation:
                x = normalized(config)(x, train)
            x = activated(config)(x)
            watch(self, config.layer_names[index], x)
            if config.normalize_after_activation:
                x = normalized(config)(x, train)
        return x


class BroNet(nn.Module):
    """A dense layer and residual blocks of two, each with its normalisation.

    Nauman et al., "Bigger, regularized, optimistic", NeurIPS 2024: h = act(norm(W x)), then per
    block h <- h + norm(W act(norm(W h))). The sum is not activated. `hidden`
    has one width for the first layer and each block: (512, 512) are two blocks.
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config = self.config
        if config.normalize_input:
            x = normalized(config)(x, train)
        x = linear(config, config.hidden[0], first=True)(x, train)
        x = activated(config)(normalized(config)(x, train))
        for block, width in enumerate(config.hidden):
            y = linear(config, width)(x, train)
            y = activated(config)(normalized(config)(dropped(config, self)(y), train))
            watch(self, config.layer_names[block], y)
            y = linear(config, x.shape[-1])(y, train)
            x = x + normalized(config)(y, train)
        return x


class SimBa(nn.Module):
    """A dense layer, residual blocks that normalise first, and a last normalisation.

    Lee et al., "SimBa: simplicity bias for scaling up parameters in deep
    reinforcement learning", ICLR 2025: per block x <- x + W_d act(W_4d norm(x)).
    `hidden` has one width per block; observations are normalised outside
    (`agent.normalize_observations`). Deviation: kernels start as
    `initializer` says, everywhere.
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config = self.config
        if config.normalize_input:
            x = normalized(config)(x, train)
        x = linear(config, config.hidden[0], first=True, gain=1.0)(x, train)
        for block, width in enumerate(config.hidden):
            y = linear(config, _EXPANSION * width)(normalized(config)(x, train), train)
            y = activated(config)(y)
            watch(self, config.layer_names[block], y)
            y = dropped(config, self)(y)
            x = x + linear(config, width)(y, train)
        return normalized(config)(x, train)


class Flash(nn.Module):
    """A dense layer, residual blocks of two, all with normalisation, and a last RMS norm.

    Kim et al., "FlashSAC", 2026: per block x <- x + act(norm(W_d act(norm(W_4d x)))), batch
    normalisation throughout. `hidden` has one width d per block.
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config = self.config
        if config.normalize_input:
            x = normalized(config)(x, train)
        x = linear(config, config.hidden[0], first=True)(x, train)
        for block, width in enumerate(config.hidden):
            y = linear(config, _EXPANSION * width)(x, train)
            y = activated(config)(normalized(config)(y, train))
            watch(self, config.layer_names[block], y)
            y = linear(config, width)(y, train)
            y = activated(config)(normalized(config)(y, train))
            x = x + dropped(config, self)(y)
        return NORMALIZATIONS["rms_norm"](config)(x, train)


TRUNKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "bronet": BroNet,
    "simba": SimBa,
    "simba_v2": SimbaV2,
    "flash": Flash,
}
