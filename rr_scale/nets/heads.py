"""What a trunk's features become: a policy's parameters or a value."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.config import ActorConfig, NetworkConfig
from rr_scale.nets.hyperspherical import HypersphericalHead
from rr_scale.nets.kernels import UnitDense
from rr_scale.nets.layers import SQRT2, dense
from rr_scale.nets.parts import Part
from rr_scale.nets.trunks import TRUNKS
from rr_scale.nets.watched import TRUNK, watch_features
from rr_scale.types import Array

HEADS = ("mean", "log_sigma", "value")
"""Names of head layers in every parameter tree; last-layer resets find them by name."""


def output(network: NetworkConfig, width: int, name: str, gain: float = SQRT2) -> Part:
    """The output layer that goes with a trunk, named after what it says."""
    if network.trunk == "simba_v2":
        return HypersphericalHead(width, name=name)
    if network.unit_head:
        return UnitDense(width, network.initializer, gain, name=name)
    layer = dense(width, network.initializer, gain, name=name)
    return lambda x, train: layer(x)


class Actor(nn.Module):
    """Pre-squash mean and, for stochastic policies, raw log sigma.

    The log-sigma head starts with gain 1 and the mean head with sqrt(2), as
    in jaxrl.
    """

    config: ActorConfig
    action_size: int

    @nn.compact
    def __call__(self, observation: Array, train: bool = False) -> tuple[Array, Array | None]:
        network = self.config.network
        features = TRUNKS[network.trunk](network, name=TRUNK)(observation, train)
        watch_features(self, features)
        mean = output(network, self.action_size, "mean")(features, train)
        if self.config.distribution == "deterministic":
            return mean, None
        log_sigma = output(network, self.action_size, "log_sigma", gain=1.0)
        return mean, log_sigma(features, train)


class Critic(nn.Module):
    """What one ensemble member says about the return of (s, a): [..., K]."""

    network: NetworkConfig
    outputs: int

    @nn.compact
    def __call__(self, observation: Array, action: Array, train: bool = False) -> Array:
        inputs = jnp.concatenate([observation, action], axis=-1)
        features = TRUNKS[self.network.trunk](self.network, name=TRUNK)(inputs, train)
        watch_features(self, features)
        return output(self.network, self.outputs, "value")(features, train)
