"""What a trunk's features become: a policy's parameters or a value."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.config import ActorConfig, NetworkConfig
from rr_scale.nets.layers import dense
from rr_scale.nets.trunks import TRUNKS
from rr_scale.types import Array

HEADS = ("mean", "log_sigma", "value")
"""Names of head layers in every parameter tree; last-layer resets find them by name."""


class Actor(nn.Module):
    """Pre-squash mean and, for stochastic policies, raw log sigma.

    The log-sigma head starts with gain 1 and the mean head with sqrt(2), as
    in jaxrl.
    """

    config: ActorConfig
    action_size: int

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Array, Array | None]:
        network = self.config.network
        features = TRUNKS[network.trunk](network, name="trunk")(observation)
        mean = dense(self.action_size, network.initializer, name="mean")(features)
        if self.config.distribution == "deterministic":
            return mean, None
        head = dense(self.action_size, network.initializer, gain=1.0, name="log_sigma")
        return mean, head(features)


class Critic(nn.Module):
    """Scalar Q(s, a) of one ensemble member: [...]."""

    network: NetworkConfig

    @nn.compact
    def __call__(self, observation: Array, action: Array) -> Array:
        inputs = jnp.concatenate([observation, action], axis=-1)
        features = TRUNKS[self.network.trunk](self.network, name="trunk")(inputs)
        value = dense(1, self.network.initializer, name="value")(features)
        return jnp.squeeze(value, axis=-1)
