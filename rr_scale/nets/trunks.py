"""Architectures between input and head: [..., I] -> [..., features]."""

from __future__ import annotations

import flax.linen as nn

from rr_scale.config import NetworkConfig
from rr_scale.nets.layers import ACTIVATIONS, dense
from rr_scale.types import Array


class MLP(nn.Module):
    """Dense layers, each followed by the activation."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.config.hidden:
            x = ACTIVATIONS[self.config.activation](dense(width, self.config.initializer)(x))
        return x


TRUNKS = {"mlp": MLP}
